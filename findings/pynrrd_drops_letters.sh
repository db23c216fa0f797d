#!/usr/bin/env bash
# pynrrd 1.1.3 drops the letters of an NRRD header that are not ASCII, and cannot write them; SimpleITK 2.5.7 does both.
#
# SimpleITK writes header values as UTF-8. pynrrd reads the header as ASCII and leaves out each byte that is none,
# without a warning: segments get other names, and names in another script become equal, namely empty. A header that
# pynrrd writes may not hold such a letter at all: nrrd.write raises UnicodeEncodeError.
#
# Seen: SimpleITK reads its own names back as "Hämatom", "脑" and "心"; pynrrd has "Hmatom", "" and "". Writing the first
# with pynrrd raises UnicodeEncodeError. Exits 0 while that holds, 1 otherwise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pynrrd==1.1.3 SimpleITK==2.5.7 numpy==2.3.5
cd "$folder"
PYTHONUTF8=1 venv/bin/python -W error::UserWarning - <<'PY'
import sys

import nrrd
import numpy as np
import SimpleITK as sitk

names = {"Segment0_Name": "Hämatom", "Segment1_Name": "脑", "Segment2_Name": "心"}
image = sitk.GetImageFromArray(np.zeros((2, 3, 4), np.uint8))
for key, name in names.items():
    image.SetMetaData(key, name)
sitk.WriteImage(image, "segments.seg.nrrd")

again = sitk.ReadImage("segments.seg.nrrd")
by_sitk = [again.GetMetaData(key) for key in names]
header = nrrd.read_header("segments.seg.nrrd")
by_pynrrd = [header[key] for key in names]
print("SimpleITK:", by_sitk)
print("pynrrd:   ", by_pynrrd)
try:
    nrrd.write("again.nrrd", np.zeros((4, 3, 2), np.uint8), {"Segment0_Name": "Hämatom"})
    refused = False
except UnicodeEncodeError as error:
    refused = True
    print("written by pynrrd:", error)
sys.exit(0 if by_sitk == list(names.values()) and by_pynrrd == ["Hmatom", "", ""] and refused else 1)
PY
