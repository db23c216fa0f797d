"""The whole-heart CT bundle in a real MONAI Label server: volumes that are resampled, labels of class numbers."""

from __future__ import annotations

import json
import shutil

import label_server
import nibabel as nib
import numpy as np
import pytest
import torch

from semicl_monai.apps.monailabel_app import monailabel_app

pytestmark = pytest.mark.slow

NAME = "whole_heart_ct_segmentation"
TINY = {
    "features": [4, 4, 8, 8, 8, 4],
    "roi_size": [32, 32],
    "spacing": [9.0, 9.0, 9.0],
    **{"iterations_per_epoch": 10, "batch_size": 2, "learning_rate": 0.01},
}
LABELS = {
    "left ventricle": 1,
    "right ventricle": 2,
    "left atrium": 3,
    "right atrium": 4,
    "myocardium": 5,
    "ascending aorta": 6,
    "pulmonary artery": 7,
}
CLASS_NUMBERS = {500: 1, 600: 2, 420: 3, 421: 3, 550: 4, 205: 5, 820: 6, 850: 7}
LABELLED, UNLABELLED = ("ct_train_1001", "ct_train_1002", "ct_train_1003"), "ct_test_2001"


@pytest.fixture
def studies(heart_dir, tmp_path):
    """Studies as MONAI Label keeps them: labels by the name of their image, in class numbers."""
    folder = tmp_path / "studies"
    (folder / "labels/final").mkdir(parents=True)
    for case in (*LABELLED, UNLABELLED):
        shutil.copy(heart_dir / f"{case[:-5]}/{case}_image.nii.gz", folder / f"{case}.nii.gz")
    for case in LABELLED:
        label = nib.load(heart_dir / f"ct_train/{case}_label.nii.gz")
        numbers = np.zeros(label.shape, np.uint8)
        for value, number in CLASS_NUMBERS.items():
            numbers[np.asarray(label.dataobj) == value] = number
        nib.save(nib.Nifti1Image(numbers, label.affine), folder / f"labels/final/{case}.nii.gz")
    return folder


@pytest.fixture
def bundle():
    return label_server.REPOSITORY / "bundles" / NAME


@pytest.fixture
def server(studies, weights, tmp_path):
    if not label_server.has_monailabel():
        pytest.skip("MONAI Label is in the extra 'label'; name its interpreter with SEMICL_LABEL_PYTHON")
    app, small = label_server.download_app(tmp_path), label_server.small_bundle(tmp_path / NAME, **TINY)
    (small / "models").mkdir()
    shutil.copy(weights, small / "models/model.pt")
    monailabel_app(str(app), str(small))
    with label_server.LabelServer(app, studies, [NAME]) as running:
        yield running


def test_it_segments_an_oblique_study_and_learns_from_labels_in_class_numbers(
    server, run_stage, studies, weights, tmp_path
):
    assert server.get("/info/")["models"][NAME]["labels"] == LABELS
    study = studies / f"{UNLABELLED}.nii.gz"
    run_stage("inference", dataset_dir=str(study), weights=str(weights))
    expected = np.asarray(nib.load(tmp_path / f"eval/predictions/{UNLABELLED}_seg.nii.gz").dataobj)
    mask = mask_of(server, study, tmp_path)
    assert set(np.unique(mask)) == set(range(8))
    assert (mask == expected).mean() > 0.999  # two environments may round otherwise

    models = server.app / "model" / NAME / "models"
    server.train(NAME, max_epochs=1, val_split=0.34, multi_gpu=False)
    before, after = (torch.load(file, weights_only=True) for file in (weights, models / "model.pt"))
    assert any(not torch.equal(before[key], after[key]) for key in before)
    record = json.loads((models / "model.json").read_text())
    assert sorted(case["case"] for case in record["labelled"] + record["validation"]) == list(LABELLED)
    assert len(record["validation"]) == 1
    assert len(list((models.parent / "cache").glob("*.pt"))) == len(LABELLED)
    assert set(np.unique(mask_of(server, study, tmp_path))) <= set(range(8))


def mask_of(server, study, folder):
    """Return the voxels of a study's mask, which lies on the grid of the study."""
    image, mask = nib.load(study), server.infer(NAME, UNLABELLED, folder)
    assert mask.shape == image.shape
    np.testing.assert_allclose(mask.affine, image.affine, atol=1e-4)
    return np.asarray(mask.dataobj)
