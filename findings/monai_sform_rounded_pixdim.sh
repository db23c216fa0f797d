#!/usr/bin/env bash
# MONAI 1.6.1 (nibabel 5.4.2) puts a NIfTI image with a good sform at the origin, mirrored, when the spacing in its
# header is rounded and its qform is not set.
#
# NibabelReader compares pixdim with the lengths of the affine's columns. Where they differ by 2e-5 or more it replaces
# the sform by the qform, also when qform_code is 0, which means that there is none. The affine that remains is a plain
# scaling: the left-right axis turns round and the position is lost. nibabel itself, ITK and SimpleITK take the sform.
# Files like this come from tools that write an affine and a pixdim rounded to two digits.
#
# Seen: nibabel has the origin (120, -95, 40) and a negative first axis; LoadImage has the origin (0, 0, 0) and a
# positive one. Nothing is said. Exits 0 while that holds, 1 when MONAI keeps the sform.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 monai==1.6.1 nibabel==5.4.2
cd "$folder"
venv/bin/python - <<'PY'
import sys

import nibabel as nib
import numpy as np
from monai.transforms import LoadImage

affine = np.array([[-0.9766, 0, 0, 120], [0, 0.9766, 0, -95], [0, 0, 1.2, 40], [0, 0, 0, 1.0]])
image = nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), affine)
image.set_qform(None, code=0)
for field in ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"):
    image.header[field] = 0
image.header["pixdim"][1:3] = 0.98
nib.save(image, "image.nii")

by_nibabel = nib.load("image.nii").affine
by_monai = LoadImage(reader="NibabelReader", image_only=True)("image.nii").affine.numpy()
print("nibabel:", by_nibabel.round(4).tolist())
print("MONAI:  ", by_monai.round(4).tolist())
lost = np.allclose(by_monai[:3, 3], 0) and by_monai[0, 0] > 0
sys.exit(0 if np.allclose(by_nibabel, affine, atol=1e-4) and lost else 1)
PY
