"""Agreement of the masks of two builds."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def dice_of_masks(old: Path, new: Path) -> float | None:
    """Return the mean Dice of two masks over their classes; ``None`` if one of the folders holds no mask.

    Args:
        old: folder of the first mask.
        new: folder of the second mask.

    Returns:
        1.0 for two masks without a class.
    """
    files = [sorted(folder.rglob("*.nii.gz")) for folder in (old, new)]
    if not all(files):
        return None
    first, second = (np.asanyarray(nib.nifti1.load(found[0]).dataobj) for found in files)
    classes = np.setdiff1d(np.union1d(first, second), [0])
    return float(np.mean([_dice(first == each, second == each) for each in classes])) if len(classes) else 1.0


def _dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))
