"""A bundle made for data in a user's own folder runs every stage, from any folder and with its own numbers."""

from __future__ import annotations

import csv
import json
from functools import partial

import monai
import nibabel as nib
import numpy as np
import pytest
from own_bundles import build, make_own, run_to_end, small

from semicl_monai.synthetic import make_synthetic_hippocampus

SHORT = {"epochs": 1, "iterations_per_epoch": 2, "batch_size": 2, "samples_per_volume": 2}


@pytest.fixture
def make(tmp_path):
    """Make a bundle for a data set, and return its folder."""
    return partial(make_own, tmp_path / "bundles")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a stage of a bundle from another folder; only the network is smaller and the training shorter."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def run(bundle, name, **options):
        short = SHORT if name in ("pretrain", "train") else {}
        return run_to_end(build(bundle, name, **small(bundle), **{**short, **options}))

    yield run
    monai.data.set_track_meta(True)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def read(file):
    return json.loads(file.read_text())


def classes_measured(bundle):
    with (bundle / "eval/evaluate/cases.csv").open() as file:
        return {row["class"] for row in csv.DictReader(file)}


def predictions(folder):
    return {file.name: nib.load(file) for file in (folder / "eval/predictions").iterdir()}


@pytest.fixture
def hippocampus(tmp_path):
    """The synthetic hippocampus in the raw layout of nnU-Net, where the last two cases have no label."""
    source = make_synthetic_hippocampus(tmp_path / "source", num_cases=8, num_test=1, spatial_size=(24, 30, 16))
    data = tmp_path / "Dataset004_Hippocampus"
    for part in ("imagesTr", "labelsTr", "imagesTs"):
        (data / part).mkdir(parents=True)
        for number, file in enumerate(sorted((source / part).iterdir())):
            name = file.name if part == "labelsTr" else file.name.replace(".nii.gz", "_0000.nii.gz")
            if part != "labelsTr" or number < 6:
                file.rename(data / part / name)
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "Anterior": 1, "Posterior": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (data / "dataset.json").write_text(json.dumps(content))
    return data


def test_every_stage_runs_on_the_raw_layout_of_nnunet(make, run, hippocampus):
    bundle = make(hippocampus, labelled_fraction=2)
    run(bundle, "pretrain")
    split = read(bundle / "eval/pretrain/split.json")
    assert {part: len(split[part]) for part in ("labelled", "unlabelled", "validation", "test")} == {
        "labelled": 2,
        "unlabelled": 4,
        "validation": 1,
        "test": 1,
    }
    assert split["unlabelled"][-2:] == ["synthetic_006", "synthetic_007"]
    run(bundle, "train")
    assert read(bundle / "eval/train/options.json")["pretrained"] == str(bundle / "models/model_pretrained.pt")
    run(bundle, "evaluate")
    assert read(bundle / "eval/evaluate/summary.json")["num_cases"] == 1
    assert {"Anterior", "Posterior"} <= classes_measured(bundle)
    run(bundle, "inference", dataset_dir=str(hippocampus / "imagesTs"))
    ((name, mask),) = predictions(bundle).items()
    image = nib.load(hippocampus / "imagesTs/synthetic_008_0000.nii.gz")
    assert name == "synthetic_008_seg.nii.gz"
    assert mask.shape == image.shape
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)


def test_the_default_plan_of_thick_slices_is_in_2d_and_runs_every_stage(make, run, four_channels):
    bundle = make(four_channels, datalist="lists.json", spatial_dims="auto", method=None)
    assert read(bundle / "task.json")["roi_size"] == [32, 32]
    for name in ("pretrain", "train", "evaluate"):
        run(bundle, name)
    assert read(bundle / "eval/train/options.json")["method"] == "self_training"
    assert {"Core", "Oedema", "Cyst"} <= classes_measured(bundle)


def test_the_plan_of_thick_slices_in_3d_runs_every_stage(make, run, four_channels):
    bundle = make(four_channels, datalist="lists.json", spatial_dims=3, method=None)
    task = read(bundle / "task.json")
    assert (task["roi_size"], task["thick_axis"], task["sample_size"]) == ([6, 28, 24], 0, [6, 34, 29])
    assert task["network_def"]["strides"] == [[1, 1, 1], [1, 2, 2], [1, 2, 2]]
    run(bundle, "pretrain")
    epochs = {"epochs": 2, "warm_up_epochs": 1}
    trained = run(bundle, "train", **epochs).parser
    assert read(bundle / "eval/train/options.json")["method"] == "self_training"
    (warp,), method = (trained.get_parsed_content(name) for name in ("spatial_transforms", "method_def"))
    assert warp.warp.thick_axis == method.strong_transforms()[0].thick_axis == 0  # labelled and unlabelled patches
    run(bundle, "evaluate")
    assert {"Core", "Oedema", "Cyst"} <= classes_measured(bundle)
    run(bundle, "inference", dataset_dir=str(four_channels / "test/images"))
    run(bundle, "pretrain", method="global_local", output_dir=str(bundle / "paper"))
    assert (bundle / "paper/models/model_pretrained.pt").is_file()


VALUES = (3, 7, 100)


@pytest.fixture(params=["in one file", "in four files"])
def four_channels(request, tmp_path):
    """Five labelled cases and one without label of four channels, slices far apart along x, which is stored last."""
    rng = np.random.default_rng(0)
    data = tmp_path / "data"
    data.mkdir()
    affine = nib.affines.from_matvec([[0, 0, 4.0], [1.0, 0, 0], [0, -1.0, 0]])
    content = {"training": [], "unlabelled": [], "modality": {str(c): name for c, name in enumerate("abcd")}}
    content["labels"] = {"0": "background", "3": "Core", "7": "Oedema", "100": "Cyst"}
    for number in range(7):
        label = rng.choice((0, *VALUES), (26, 22, 6)).astype(np.uint8)
        channels = [rng.normal(label + 10 * channel, 1).astype(np.float32) for channel in range(4)]
        if request.param == "in one file":
            volumes = {f"images/p{number}.nii.gz": np.stack(channels, axis=-1)}
        else:
            volumes = {f"images/p{number}_{channel:04d}.nii.gz": volume for channel, volume in enumerate(channels)}
        volumes = {f"{'test' if number == 6 else 'train'}/{file}": volume for file, volume in volumes.items()}
        entry = {"image": list(volumes) if len(volumes) > 1 else next(iter(volumes))}
        if number < 5:
            volumes[f"labels/p{number}.nii.gz"] = label
            content["training"].append({**entry, "label": f"labels/p{number}.nii.gz"})
        elif number == 5:
            content["unlabelled"].append(entry)
        for file, volume in volumes.items():
            (data / file).parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(volume, affine), data / file)
    (data / "lists.json").write_text(json.dumps(content))
    return data


def test_every_stage_runs_on_four_channels_across_another_axis_with_label_values(make, run, four_channels, tmp_path):
    bundle = make(four_channels, datalist="lists.json")
    task = read(bundle / "task.json")
    assert (task["in_channels"], task["slice_axis"], task["roi_size"]) == (4, 0, [32, 32])
    assert dict(zip(task["label_values"], task["class_names"], strict=True)) == {3: "Core", 7: "Oedema", 100: "Cyst"}
    run(bundle, "pretrain")
    assert read(bundle / "eval/pretrain/split.json")["unlabelled"] == ["p5"]
    trained = run(bundle, "train", validation="none")
    (drawn,) = trained.parser.get_parsed_content("train::dataset")[0][:1]
    assert (drawn["image"].shape, drawn["num_places"]) == ((4, 32, 32), 6)
    run(bundle, "evaluate")
    assert {"Core", "Oedema", "Cyst"} <= classes_measured(bundle)

    images = four_channels / "test/images"
    run(bundle, "inference", dataset_dir=str(images))
    elsewhere = {"output_dir": str(tmp_path / "valued"), "weights": str(bundle / "models/model.pt")}
    run(bundle, "inference", dataset_dir=str(images), original_values="true", **elsewhere)
    ((name, plain),), ((same_name, valued),) = predictions(bundle).items(), predictions(tmp_path / "valued").items()
    assert name == same_name == f"{min(images.iterdir()).name.removesuffix('.nii.gz').removesuffix('_0000')}_seg.nii.gz"
    assert plain.shape == valued.shape == (26, 22, 6)
    np.testing.assert_allclose(valued.affine, nib.load(min(images.iterdir())).affine, atol=1e-4)
    numbers = np.asarray(plain.dataobj)
    assert len(np.unique(numbers)) > 1
    assert np.array_equal(np.asarray(valued.dataobj), np.array([0, *task["label_values"]])[numbers])


def test_a_label_file_in_the_values_of_the_data_becomes_the_classes_of_those_names(make, run, four_channels):
    bundle = make(four_channels, datalist="lists.json")
    built = run(bundle, "train", pretrained="none", validation="none")
    (record,) = built.parser.get_parsed_content("train::dataset::data")[:1]
    stored = np.asarray(nib.load(record["label"]).dataobj)
    (load, *_) = built.parser.get_parsed_content("deterministic_transforms")
    names = ["background", *built.parser.get_parsed_content("class_names")]
    numbers = np.asarray(load(record)["label"])[0].astype(int)
    for value, name in zip((0, *VALUES), ("background", "Core", "Oedema", "Cyst"), strict=True):
        assert np.array_equal(stored == value, numbers == names.index(name))


@pytest.mark.filterwarnings("error:constrained_layout not applied")  # a legend as large as the picture of embeddings
@pytest.mark.parametrize(("num_classes", "modality"), [(1, "CT"), (100, "MRI")])
def test_one_class_and_a_hundred_classes_pretrain_and_train(make, run, tmp_path, num_classes, modality):
    rng = np.random.default_rng(0)
    entries = [{key: f"{key}_{number}.nii.gz" for key in ("image", "label")} for number in range(5)]
    for entry in entries:
        label = rng.permutation(np.arange(20 * 24 * 8) % (num_classes + 1)).reshape(20, 24, 8).astype(np.uint8)
        nib.save(nib.Nifti1Image(rng.normal(label, 5).astype(np.float32), np.eye(4)), tmp_path / entry["image"])
        nib.save(nib.Nifti1Image(label, np.eye(4)), tmp_path / entry["label"])
    (tmp_path / "dataset.json").write_text(json.dumps({"training": entries, "modality": modality}))
    bundle = make(tmp_path)
    assert len(read(bundle / "task.json")["class_names"]) == num_classes
    run(bundle, "pretrain", method="local", validation="none", iterations_per_epoch=1)
    built = run(bundle, "train", validation="none", iterations_per_epoch=1)
    assert built.parser.get_parsed_content("network").output_block.conv.conv.out_channels == num_classes + 1
    assert (bundle / "models/model.pt").is_file()
