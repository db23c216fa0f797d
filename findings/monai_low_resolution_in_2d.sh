#!/usr/bin/env bash
# MONAI 1.6.1 (torch 2.13.0): RandSimulateLowResolution with its defaults takes volumes, but no slices.
#
# Its documentation names no number of spatial axes, and its neighbours in a list of transforms (RandGaussianSmooth,
# RandAdjustContrast, RandBiasField) take 2-D and 3-D images alike. Its default upsample_mode is trilinear, which torch
# refuses for a slice. As the transform is random, a training on slices stops at the first sample that is drawn for it,
# which may be many steps after its start. upsample_mode="bilinear" takes slices, and then no volumes.
#
# Seen: with prob=1, a volume (1, 16, 16, 16) keeps its shape, a slice (1, 16, 16) raises NotImplementedError ("Got 4D
# input, but trilinear mode needs 5D input"); with "bilinear" it is the other way round. Exits 0 while that holds, else 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 monai==1.6.1
cd "$folder"
venv/bin/python - <<'PY' 2>/dev/null
import sys

import torch
from monai.transforms import RandSimulateLowResolution


def outcome(shape, **options):
    try:
        return tuple(RandSimulateLowResolution(prob=1.0, **options)(torch.rand(shape)).shape)
    except NotImplementedError as error:
        return str(error)


volume, slice_ = (1, 16, 16, 16), (1, 16, 16)
found = [outcome(shape, **given) for given in ({}, {"upsample_mode": "bilinear"}) for shape in (volume, slice_)]
print(*found, sep="\n")
refused = ["trilinear mode needs 5D input" in str(found[1]), "bilinear mode needs 4D input" in str(found[2])]
sys.exit(0 if found[0] == volume and found[3] == slice_ and all(refused) else 1)
PY
