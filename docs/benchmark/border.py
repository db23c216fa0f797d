"""Tell how much of the error of a two-class mask lies at the border between both classes.

python border.py MASKS LABELS SPLIT: folders of masks and labels, and a split file, whose test cases are compared.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.metrics import compute_dice
from monai.networks.utils import one_hot
from torch import tensor

masks, labels, split = map(Path, sys.argv[1:])


def dice(mask, label, classes):
    both = [one_hot(tensor(volume.astype(int))[None, None], classes) for volume in (mask, label)]
    return compute_dice(*both, include_background=False).mean().item()


def scores(case):
    mask, label = (
        np.asarray(nib.as_closest_canonical(nib.load(file)).dataobj)
        for file in (masks / f"{case}_seg.nii.gz", labels / f"{case}.nii.gz")
    )
    right_border = np.where((mask > 0) & (label > 0), label, mask)
    return dice(mask, label, 3), dice(mask > 0, label > 0, 2), dice(right_border, label, 3)


found = np.array([scores(case) for case in json.loads(split.read_text())["test"]]).mean(axis=0)
print("mean Dice {:.3f}, of both classes as one {:.3f}, mean Dice with the right border {:.3f}".format(*found))
