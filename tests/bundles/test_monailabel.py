"""The label-efficient loop in a real MONAI Label server: few labels, pre-training on all studies, fine-tuning."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil

import label_server
import nibabel
import numpy as np
import pytest
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform

from semicl_monai.apps.monailabel_app import monailabel_app
from semicl_monai.synthetic import make_synthetic_hippocampus

pytestmark = pytest.mark.slow

NUM_STUDIES, NUM_LABELLED = 8, 3
NAME = "hippocampus_mri_segmentation"
SMALL = {"features": [8, 16, 32, 64, 64, 8], "iterations_per_epoch": 20, "batch_size": 2, "learning_rate": 0.005}


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """Studies as MONAI Label keeps them, and beside them the truth of all, of which the server sees three.

    Every second one is a link to an archive, where it has another name and lies among others.
    """
    data = make_synthetic_hippocampus(tmp_path_factory.mktemp("data") / "synthetic", num_cases=NUM_STUDIES, num_test=1)
    folder = tmp_path_factory.mktemp("studies")
    (folder / "labels/final").mkdir(parents=True)
    images = sorted((data / "imagesTr").glob("*.nii.gz"))
    archive = tmp_path_factory.mktemp("archive")
    shutil.copy(images[0], archive / "of_somebody_else.nii.gz")
    for number, image in enumerate(images):
        if number % 2:
            shutil.copy(image, archive / f"scan_{number}.nii.gz")
            (folder / image.name).symlink_to(archive / f"scan_{number}.nii.gz")
        else:
            shutil.copy(image, folder)
        if number < NUM_LABELLED:
            shutil.copy(data / "labelsTr" / image.name, folder / "labels/final")
    _store_in_other_axes(folder / images[-1].name, folder / "turned.nii.gz")
    (folder / "scan.mha").touch()
    return folder, {image.name.split(".")[0]: data / "labelsTr" / image.name for image in images}


def _store_in_other_axes(source, target):
    image = nibabel.load(source)
    axes = np.array([[1, -1], [0, 1], [2, -1]])
    voxels = apply_orientation(np.asanyarray(image.dataobj), axes)
    nibabel.save(nibabel.Nifti1Image(voxels, image.affine @ inv_ornt_aff(axes, image.shape)), target)


@pytest.fixture(scope="module")
def server(studies, tmp_path_factory):
    if not label_server.has_monailabel():
        pytest.skip("MONAI Label is in the extra 'label'; name its interpreter with SEMICL_LABEL_PYTHON")
    work = tmp_path_factory.mktemp("label")
    app = label_server.download_app(work)
    monailabel_app(str(app), str(label_server.small_bundle(work / NAME, **SMALL)))
    models = [NAME, f"{NAME}_pretraining"]
    with label_server.LabelServer(app, studies[0], models, epistemic_model=NAME) as running:
        yield running


def as_slicer_asks(server, trainer, **changed):
    """What 3D Slicer posts: its whole table of options, of which the user has changed some."""
    options = server.get("/info/")["trainers"][trainer]["config"]
    first = {name: value[0] if isinstance(value, list) else value for name, value in options.items()}
    assert first["run_id"] == ""
    return {**first, **changed}


def unlabelled(studies):
    return sorted(studies[1])[NUM_LABELLED:]


def mean_dice(server, studies, tmp_path):
    found = [
        label_server.dice(server.infer(NAME, study, tmp_path), nibabel.load(studies[1][study]))
        for study in unlabelled(studies)
    ]
    return float(np.mean(found))


def names(record, part):
    return [case["case"] for case in record[part]]


def models_of(server):
    return server.app / "model" / NAME / "models"


def test_few_labels_and_pre_training_on_all_studies_make_the_model_better(server, studies, tmp_path):
    untrained = mean_dice(server, studies, tmp_path)
    before = (models_of(server) / "model.pt").read_bytes()
    for study in sorted(studies[1])[:2]:
        server.save_label(study, studies[1][study], ["anterior", "Posterior"])

    log = server.train(f"{NAME}_pretraining", **as_slicer_asks(server, f"{NAME}_pretraining", max_epochs=2))
    assert f"1 of {studies[0]} left out (wanted .nii.gz, .nii, .nrrd): scan.mha." in log
    seen = json.loads((models_of(server) / "model_pretrained.json").read_text())
    assert sorted(names(seen, "labelled") + names(seen, "unlabelled")) == sorted([*studies[1], "turned"])
    labelled = sorted(studies[1])[:NUM_LABELLED]
    assert len(seen["labelled"]) == 2  # one of three is held out for validation
    assert set(names(seen, "labelled")) < set(labelled)
    assert (models_of(server) / "model.pt").read_bytes() == before

    log = server.train(NAME, **as_slicer_asks(server, NAME, max_epochs=10))
    pretrained = models_of(server) / "model_pretrained.pt"
    assert f"Training starts from the pre-trained weights {pretrained}" in log
    assert "Restored all variables" not in log
    record = json.loads((models_of(server) / "model.json").read_text())
    assert record["pretrained"] == hashlib.sha256(pretrained.read_bytes()).hexdigest()
    assert sorted(names(record, "labelled") + names(record, "validation")) == labelled
    trained = mean_dice(server, studies, tmp_path)
    assert trained > untrained + 0.3

    # once more, as another client asks: from the model of now, and not from the pre-trained weights again
    log = server.train(NAME, max_epochs=1, val_split=0.5, multi_gpu=False)
    assert f"Restored all variables from {models_of(server) / 'model.pt'}" in log
    assert mean_dice(server, studies, tmp_path) > untrained + 0.3
    later = json.loads((models_of(server) / "model.json").read_text())
    assert set(names(record, "labelled")) <= set(
        names(later, "labelled")
    )  # whatever it was trained on before, it still knows


def test_a_mask_has_the_shape_the_affine_and_the_labels_of_its_study(server, studies, tmp_path):
    assert server.get("/info/")["models"][NAME]["labels"] == {"anterior": 1, "posterior": 2}
    for study in (*unlabelled(studies), "turned"):
        mask, image = server.infer(NAME, study, tmp_path), nibabel.load(studies[0] / f"{study}.nii.gz")
        assert mask.shape == image.shape
        np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)
        assert set(np.unique(mask.dataobj)) <= {0, 1, 2}


def test_the_same_anatomy_stored_in_other_axes_gets_the_same_mask(server, studies, tmp_path):
    study, turned = (server.infer(NAME, name, tmp_path) for name in (max(studies[1]), "turned"))
    axes = ornt_transform(io_orientation(turned.affine), io_orientation(study.affine))
    back = apply_orientation(np.asanyarray(turned.dataobj), axes)
    assert len(np.unique(back)) > 1
    assert (back == np.asanyarray(study.dataobj)).mean() > 0.999


def test_pre_training_is_a_trainer_and_no_model_to_segment_with(server):
    info = server.get("/info/")
    assert set(info["trainers"]) == {NAME, f"{NAME}_pretraining"}
    assert set(info["models"]) == {NAME}


def test_a_label_whose_segments_stand_in_another_order_is_not_trained_on(server, studies):
    study, label = sorted(studies[1].items())[1]
    server.save_label(study, label, ["Posterior", "Anterior"])
    before = (models_of(server) / "model.pt").read_bytes()
    found = f"value 1 of its label is 'Posterior' in {studies[0]}/datastore_v2.json, wanted 'Anterior'"
    for trainer in (NAME, f"{NAME}_pretraining"):
        log = server.train(trainer, ends="ERROR", max_epochs=1, val_split=0, multi_gpu=False)
        assert f"error: study {study}: {found}" in log
        assert "Traceback" not in log
    assert (models_of(server) / "model.pt").read_bytes() == before
    server.save_label(study, label, ["anterior", "posterior"])


def test_active_learning_scores_the_unlabelled_studies_by_dropout(server, studies):
    if server.get("/scoring/") is not None:  # a training sets it off
        server.wait_for_scores()
    scores = []
    for second in (1, 2):
        os.utime(models_of(server) / "model.pt", (second, second))  # another model: all studies are scored anew
        server.post(f"/scoring/{NAME}", {})
        server.wait_for_scores()
        objects = server.get("/datastore/?output=all")["objects"]
        scores.append([objects[study]["image"]["info"]["epistemic_entropy"] for study in unlabelled(studies)])
    assert all(math.isfinite(score) for score in scores[0] + scores[1])
    assert scores[0] != scores[1]  # without dropout the same weights would say the same
