#!/usr/bin/env bash
# nibabel 5.4.2 (numpy 2.3.5) reads a .nii.gz whose checksum is wrong, without an error or a warning.
#
# A gzip file ends with a CRC-32 and the length of its content. nibabel reads exactly the bytes of the voxels, which is
# all the content, but never asks for the end of the stream, where Python's gzip module compares both. A file with one
# flipped bit in a voxel is taken as it is; `gzip -t` and a read to the end refuse it.
#
# Seen: nibabel gives the array with one voxel changed; gzip.open(...).read() raises BadGzipFile "CRC check failed".
# Exits 0 while that holds, 1 when nibabel has begun to check.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q nibabel==5.4.2 numpy==2.3.5
cd "$folder"
venv/bin/python - <<'PY'
import gzip
import sys

import nibabel as nib
import numpy as np

voxels = np.arange(24 * 24 * 24, dtype=np.int16).reshape(24, 24, 24)
nib.save(nib.Nifti1Image(voxels, np.eye(4)), "whole.nii.gz")

# The same content with one bit changed, stored (level 0) so that the bit can be found, under the checksum of the whole.
content = gzip.open("whole.nii.gz").read()
packed = bytearray(gzip.compress(content, compresslevel=0))
place = packed.find(voxels.tobytes(order="F")[1000:1064])
packed[place] ^= 1
open("damaged.nii.gz", "wb").write(packed)

read = np.asarray(nib.load("damaged.nii.gz").dataobj)
print("voxels that differ from the whole file, read by nibabel:", int((read != voxels).sum()))
try:
    gzip.open("damaged.nii.gz").read()
    refused = False
except gzip.BadGzipFile as error:
    refused = True
    print("read to the end by gzip:", error)
sys.exit(0 if refused and (read != voxels).sum() == 1 else 1)
PY
