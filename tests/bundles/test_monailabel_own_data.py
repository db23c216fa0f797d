"""A user's own data in MONAI Label: oblique NRRD and NIfTI studies with thick slices, in 2-D and 3-D."""

from __future__ import annotations

import json
import sys

import label_server
import monai.bundle
import numpy as np
import pytest
import SimpleITK as sitk

from semicl_monai.apps.export_bundle import export_bundle
from semicl_monai.apps.monailabel_app import monailabel_app
from semicl_monai.apps.new_bundle import new_bundle

NAME = "liver_mri_segmentation"
CLASSES = ["Left", "Right"]
FORMATS = {"c0": ".nrrd", "c1": ".nii.gz", "c2": ".nrrd", "c3": ".nii.gz", "c4": ".nrrd", "c5": ".nrrd"}
SMALL = {"iterations_per_epoch": 8, "batch_size": 2, "samples_per_volume": 1, "learning_rate": 0.01}
NETWORKS = {2: {"filters": [8, 8, 8, 16]}, 3: {"filters": [8, 8, 8, 16]}}


def volumes(case):
    """An ellipsoid in two halves, in slices of 5 mm that lie obliquely, as images of SimpleITK."""
    random = np.random.default_rng(int(case[1:]))
    z, y, x = np.mgrid[:10, :40, :36]
    center = [5, 20, 18] + random.uniform(-1, 1, 3) * [0.5, 4, 4]
    inside = ((z - center[0]) / 3) ** 2 + ((y - center[1]) / 12) ** 2 + ((x - center[2]) / 10) ** 2 < 1
    label = inside * np.where(x > center[2], 2, 1)
    turn = sitk.Euler3DTransform()
    turn.SetRotation(0.1, *random.uniform(-0.4, 0.4, 2))
    images = [100 + 200 * label + random.normal(0, 20, label.shape), label]
    images = [sitk.GetImageFromArray(voxels.astype(np.int16)) for voxels in images]
    for image in images:
        image.SetSpacing((1.0, 1.0, 5.0))
        image.SetDirection(turn.GetMatrix())
        image.SetOrigin((10.0, -20.0, 30.0))
    return images[0], sitk.Cast(images[1], sitk.sitkUInt8)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder that the bundle was made from, which is still there: three labelled volumes and three others."""
    folder, records = tmp_path_factory.mktemp("own") / "data", []
    folder.mkdir()
    for case, suffix in FORMATS.items():
        image, label = volumes(case)
        records.append({"image": f"{case}{suffix}"} | ({"label": f"{case}_seg.nrrd"} if len(records) < 3 else {}))
        sitk.WriteImage(image, str(folder / records[-1]["image"]), True)
        sitk.WriteImage(label, str(folder / f"{case}_seg.nrrd"), True)
    content = {"labels": {"0": "background", "1": "Left", "2": "Right"}, "training": records}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def make_bundle(data, folder, dims):
    """Make a bundle by ``new_bundle`` with its default method, and make it small and fast."""
    new_bundle(NAME, str(data), folder=str(folder), spatial_dims=dims, estimate=False, modality="MRI")
    bundle = folder / NAME
    task = json.loads((bundle / "task.json").read_text())
    task["network_def"].update(NETWORKS[dims])
    (bundle / "task.json").write_text(json.dumps({**task, **SMALL}))
    export_bundle(str(bundle))
    return bundle


@pytest.fixture(scope="module")
def studies(data, tmp_path_factory):
    """The studies of a server: links to the data, and two labels that were put beside them by hand."""
    folder = tmp_path_factory.mktemp("studies")
    (folder / "labels/final").mkdir(parents=True)
    for case, suffix in FORMATS.items():
        (folder / f"{case}{suffix}").symlink_to(data / f"{case}{suffix}")
    sitk.WriteImage(volumes("c0")[1], str(folder / "labels/final/c0.nii.gz"))
    sitk.WriteImage(volumes("c3")[1], str(folder / "labels/final/c3.seg.nrrd"))
    return folder


@pytest.fixture(scope="module")
def server(data, studies, tmp_path_factory):
    if not label_server.has_monailabel():
        pytest.skip("MONAI Label is in the extra 'label'; name its interpreter with SEMICL_LABEL_PYTHON")
    work = tmp_path_factory.mktemp("label")
    app = label_server.download_app(work)
    bundle = make_bundle(data, work, 3)
    assert read(bundle / "task.json")["thick_axis"] == 2
    monailabel_app(str(app), str(bundle))
    with label_server.LabelServer(app, studies, [NAME, f"{NAME}_pretraining"], epistemic_model=NAME) as running:
        yield running


def saved_by_slicer(case, folder):
    """A label as 3D Slicer saves its segments, in an order of their own, and only the box around them."""
    label = volumes(case)[1]
    numbers = sitk.ChangeLabel(label, {1: 2, 2: 1})
    box = sitk.LabelShapeStatisticsImageFilter()
    box.Execute(label > 0)
    start, size = box.GetBoundingBox(1)[:3], box.GetBoundingBox(1)[3:]
    segments = sitk.RegionOfInterest(numbers, size, start)
    for number, name in enumerate(reversed(CLASSES)):
        for key, value in {"ID": f"S_{number}", "Name": name, "LabelValue": str(number + 1), "Layer": "0"}.items():
            segments.SetMetaData(f"Segment{number}_{key}", value)
    sitk.WriteImage(segments, str(folder / f"{case}.seg.nrrd"), True)
    return folder / f"{case}.seg.nrrd"


def read(file):
    return json.loads(file.read_text())


def names(record, part):
    return sorted(case["case"] for case in record[part])


@pytest.mark.slow
def test_own_data_in_3d_are_labelled_pre_trained_fine_tuned_segmented_and_scored(server, studies, tmp_path):
    models = server.app / "model" / NAME / "models"
    assert server.get("/info/")["models"][NAME]["labels"] == {"left": 1, "right": 2}
    for case in ("c1", "c2"):  # a NIfTI and a NRRD study
        server.save_label(case, saved_by_slicer(case, tmp_path), ["Right", "Left"])
    objects = server.get("/datastore/?output=all")["objects"]
    found = {case: study["labels"].get("final", {}).get("ext") for case, study in objects.items()}
    # MONAI Label 0.8.5 takes c3.seg.nrrd for the label of a study c3.seg, and saves what is sent as .seg.nrrd as .nrrd
    assert found == {**dict.fromkeys(FORMATS), "c0": ".nii.gz", "c1": ".nrrd", "c2": ".nrrd"}

    log = server.train(f"{NAME}_pretraining", max_epochs=1, val_split=0)
    assert "left out" not in log
    seen = read(models / "model_pretrained.json")
    assert seen["method"] == "global_local"
    assert (names(seen, "labelled"), names(seen, "unlabelled")) == (["c0", "c1", "c2"], ["c3", "c4", "c5"])

    log = server.train(NAME, max_epochs=5, val_split=0)
    assert f"Training starts from the pre-trained weights {models / 'model_pretrained.pt'}" in log
    record = read(models / "model.json")
    assert (names(record, "labelled"), names(record, "unlabelled")) == (["c0", "c1", "c2"], ["c3", "c4", "c5"])

    for case in ("c3", "c4"):  # a NIfTI and a NRRD study
        mask = sitk.ReadImage(str(server.infer_as_slicer(NAME, case, tmp_path)))
        image, truth = sitk.ReadImage(str(studies / f"{case}{FORMATS[case]}")), volumes(case)[1]
        assert mask.GetSize() == image.GetSize()
        for place in ("GetOrigin", "GetSpacing", "GetDirection"):
            np.testing.assert_allclose(getattr(mask, place)(), getattr(image, place)(), atol=1e-4)
        mask.CopyInformation(truth)
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(mask, truth)
        assert [overlap.GetDiceCoefficient(value) > 0.7 for value in (1, 2)] == [True, True]

    server.wait_for_scores()
    scores = [server.get("/datastore/?output=all")["objects"][case]["image"]["info"] for case in ("c3", "c4", "c5")]
    assert all(np.isfinite(score["epistemic_entropy"]) for score in scores)


@pytest.fixture
def app(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/main.py").touch()
    return tmp_path / "app"


@pytest.fixture
def train(studies, monkeypatch):
    """Run the config of a trainer with two labelled studies as MONAI Label 0.8.5 does."""
    monkeypatch.delenv("MONAI_LABEL_STUDIES", raising=False)

    def train(bundle):
        config = str(bundle / "configs/train.json")
        parser = monai.bundle.ConfigParser()
        parser.read_config(config)
        model = {"load_path": str(bundle / "models/model.pt"), "load_dict": {"model": "$@network"}, "strict": False}
        pairs = (studies / "c0.nrrd", "c0.nii.gz"), (studies / "c3.nii.gz", "c3.seg.nrrd")
        records = [
            {"image": str(image.resolve()), "label": str(studies / "labels/final" / label)} for image, label in pairs
        ]
        overrides = {
            "bundle_root": str(bundle),
            "device": "cpu",
            "train#trainer#max_epochs": 1,
            "train#dataset#data": records,
            "train#handlers": [{"_target_": "CheckpointLoader", **model}, *parser["train"]["handlers"]],
            "validate#dataset#data": [],
        }
        hook = sys.excepthook
        try:
            monai.bundle.run("run", config_file=config, iterations_per_epoch=1, **overrides)
        finally:
            sys.excepthook = hook
            monai.data.set_track_meta(True)

    return train


@pytest.mark.parametrize("dims", [2, 3])
def test_a_bundle_whose_method_has_no_pre_training_is_pre_trained_and_fine_tuned(data, app, train, tmp_path, dims):
    bundle = make_bundle(data, tmp_path, dims)
    assert read(bundle / "task.json")["stages"]["pretrain"]["method"] == "self_training"
    monai.bundle.run("pretrain", config_file=str(bundle / "configs/pretrain.json"))
    assert read(bundle / "models/model_pretrained.json")["method"] == "self_training"
    monailabel_app(str(app), str(bundle))
    installed = app / "model" / NAME

    # the folder of the data has unlabelled volumes, which are not those of the server
    train(installed)
    record = read(installed / "models/model.json")
    assert (names(record, "labelled"), names(record, "unlabelled")) == (["c0", "c3"], [])

    train(app / "model" / f"{NAME}_pretraining")
    seen = read(installed / "models/model_pretrained.json")
    assert seen["method"] == "global_local"
    assert (names(seen, "labelled"), names(seen, "unlabelled")) == (["c0", "c3"], ["c1", "c2", "c4", "c5"])
    train(installed)
    record = read(installed / "models/model.json")
    assert (record["method"], names(record, "labelled")) == ("global_local", ["c0", "c3"])
