#!/usr/bin/env bash
# MONAI 1.6.1 (pynrrd 1.1.3) and SimpleITK 2.5.7 put an NRRD volume in different places when its space is written in
# short ("LPS"), or is left-anterior-superior or scanner-xyz.
#
# The format allows a short form for the names of spaces. NrrdReader looks for the one name "left-posterior-superior"
# (or none) and takes each other space as RAS, which is MONAI's own. So one and the same volume comes out turned by half
# a circle about z when its header says "LPS", and mirrored left to right when it is given in left-anterior-superior.
# SimpleITK knows the short forms and left-anterior-superior; it takes scanner-xyz as LPS. Neither says anything.
#
# Seen, for the origin (10, 20, 30), as the origin in RAS (SimpleITK's through a NIfTI file):
#   space                     NrrdReader        SimpleITK
#   left-posterior-superior   (-10, -20, 30)    (-10, -20, 30)
#   LPS                       (10, 20, 30)      (-10, -20, 30)
#   right-anterior-superior   (10, 20, 30)      (10, 20, 30)
#   left-anterior-superior    (10, 20, 30)      (-10, 20, 30)
#   scanner-xyz               (10, 20, 30)      (-10, -20, 30)
# Exits 0 while that holds, 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 monai==1.6.1 pynrrd==1.1.3 SimpleITK==2.5.7 nibabel==5.4.2
cd "$folder"
venv/bin/python - <<'PY'
import sys

import nibabel as nib
import nrrd
import numpy as np
import SimpleITK as sitk
from monai.transforms import LoadImage

SEEN = {
    "left-posterior-superior": ([-10, -20, 30], [-10, -20, 30]),
    "LPS": ([10, 20, 30], [-10, -20, 30]),
    "right-anterior-superior": ([10, 20, 30], [10, 20, 30]),
    "left-anterior-superior": ([10, 20, 30], [-10, 20, 30]),
    "scanner-xyz": ([10, 20, 30], [-10, -20, 30]),
}
load = LoadImage(reader="NrrdReader", image_only=True)
found = {}
for space in SEEN:
    header = {"space": space, "space directions": np.diag([1.0, 2.0, 3.0]), "space origin": np.array([10, 20, 30.0])}
    nrrd.write("image.nrrd", np.zeros((4, 3, 2), np.int16), header)
    by_monai = load("image.nrrd").affine.numpy()
    sitk.WriteImage(sitk.ReadImage("image.nrrd"), "image.nii")
    by_sitk = nib.load("image.nii").affine
    found[space] = tuple(affine[:3, 3].round(4).tolist() for affine in (by_monai, by_sitk))
    print(f"{space:25} NrrdReader {found[space][0]}  SimpleITK {found[space][1]}")
sys.exit(0 if found == SEEN else 1)
PY
