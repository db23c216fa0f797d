"""Masks of two builds are compared class by class."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.benchmarks import dice_of_masks


def save(folder, values):
    folder.mkdir()
    nib.save(nib.Nifti1Image(np.array(values, np.uint8).reshape(-1, 1, 1), np.eye(4)), folder / "mask.nii.gz")
    return folder


def test_the_mean_dice_of_the_classes(tmp_path):
    old, new = save(tmp_path / "old", [0, 1, 1, 2, 2]), save(tmp_path / "new", [0, 1, 0, 2, 2])
    assert dice_of_masks(old, new) == pytest.approx((2 / 3 + 1) / 2)


def test_empty_masks_agree_and_a_missing_one_is_told(tmp_path):
    old = save(tmp_path / "old", [0, 0])
    assert dice_of_masks(old, old) == 1.0
    assert dice_of_masks(old, tmp_path / "nothing") is None
