"""Trainings that cannot end well end with one line and leave no network."""

from __future__ import annotations

import shutil

import nibabel
import numpy as np
import pytest

from semicl_monai.utils import find_input_error

FAILING = {"_target_": "RandLambdad", "keys": "image", "func": "$lambda image: 1 / 0", "prob": 1.0}


def refusal(run_stage, stage, **options):
    with pytest.raises(Exception, match=r".") as caught:  # MONAI wraps what a config raises
        run_stage(stage, **options)
    return str(find_input_error(caught.value))


def networks(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.pt"))


@pytest.mark.parametrize("method", ["random", "mean_teacher"])
def test_a_transform_that_fails_ends_the_training_with_its_case(run_stage, tmp_path, method):
    options = {"method": method, "pretrained": "none", "train::random_transforms": ["%draw", FAILING]}
    line = refusal(run_stage, "train", **options)
    assert line.startswith("case synthetic_0")
    assert line.endswith(": RandLambdad failed: ZeroDivisionError: division by zero")
    assert networks(tmp_path) == []


def test_a_transform_that_fails_ends_a_pre_training_too(run_stage, tmp_path):
    line = refusal(
        run_stage,
        "pretrain",
        method="simclr",
        **{"train::preprocessing::transforms": "$@deterministic_transforms + [@draw, @failing]", "failing": FAILING},
    )
    assert line.startswith("case synthetic_0")
    assert networks(tmp_path) == []


@pytest.mark.parametrize(
    ("iterations", "wanted"),
    [
        (1, "fine-tuning: the network's output must be finite, got NaN or infinity after epoch 1: lower "),
        (2, "fine-tuning: the loss must be finite, got nan in epoch 1, step 2 of 2, cases synthetic_0"),
    ],
)
def test_a_learning_rate_far_too_high_leaves_no_network(run_stage, tmp_path, iterations, wanted):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(b"earlier")
    line = refusal(run_stage, "train", pretrained="none", learning_rate=1e30, iterations_per_epoch=iterations)
    assert line.startswith(wanted)
    assert networks(tmp_path) == ["models/model.pt"]
    assert (tmp_path / "models" / "model.pt").read_bytes() == b"earlier"


def test_a_pre_training_names_labelled_and_unlabelled_cases_of_a_loss_that_is_not_finite(run_stage, tmp_path):
    line = refusal(run_stage, "pretrain", method="joint", learning_rate=1e30)
    assert line.startswith("Pre-training joint: the loss must be finite, got nan in epoch 1, step 2 of 2, cases synth")
    assert " (unlabelled): lower --learning_rate" in line
    assert networks(tmp_path) == []


def test_a_global_pre_training_at_chance_says_so(run_stage, caplog):
    at_chance = "$lambda pred, target: (torch.zeros(4), torch.full((4,), 0.25))"
    run_stage("pretrain", method="simclr", **{"validate::handlers::1::scores": at_chance})
    lines = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert any(
        line.startswith("Pre-training global is at chance: score 0.000, chance 0.250, in epoch 1 of 1.")
        for line in lines
    )


@pytest.fixture
def empty_dir(dataset_dir, tmp_path):
    """The data set with labels that hold nothing."""
    folder = tmp_path / "empty"
    shutil.copytree(dataset_dir, folder)
    for file in (folder / "labelsTr").glob("*.nii.gz"):
        label = nibabel.load(file)
        nibabel.save(nibabel.Nifti1Image(np.zeros(label.shape, np.uint8), label.affine), file)
    return folder


@pytest.mark.parametrize(
    ("stage", "options"),
    [("train", {"pretrained": "none"}), ("pretrain", {"method": "global_local"}), ("pretrain", {"method": "joint"})],
)
def test_labels_that_are_all_empty_are_refused_before_training(run_stage, empty_dir, tmp_path, stage, options):
    line = refusal(run_stage, stage, dataset_dir=str(empty_dir), **options)
    assert line.startswith("at least one label of the training volumes must hold foreground (a value above 0),")
    assert " got 2 empty: synthetic_0" in line
    assert networks(tmp_path) == []


def test_a_pre_training_by_images_alone_looks_at_no_label(run_stage, empty_dir, tmp_path):
    run_stage("pretrain", method="simclr", dataset_dir=str(empty_dir))
    assert "models/model_pretrained.pt" in networks(tmp_path)
