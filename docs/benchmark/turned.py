"""Direction from the left to the right ventricle in scans of ACDC that are taller than wide, and in all others.

python docs/benchmark/turned.py DATA/ACDC/all_patients.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

RIGHT, LEFT = 1, 3

file = Path(sys.argv[1])
lists = json.loads(file.read_text())
degrees: dict[bool, list[float]] = {True: [], False: []}
for case in lists["training"] + lists["validation"]:
    label = np.asanyarray(nib.load(file.parent / case["label"]).dataobj)
    right, left = (np.argwhere(label == number)[:, :2].mean(0) for number in (RIGHT, LEFT))
    degrees[label.shape[0] > label.shape[1]].append(float(np.degrees(np.arctan2(*(right - left)[::-1]))) % 360)
for tall, values in degrees.items():
    low, middle, high = np.percentile(values, (10, 50, 90))
    name = "taller than wide" if tall else "others"
    print(f"{name}: {len(values)} scans, {middle:.0f} degrees (10th to 90th percentile {low:.0f} to {high:.0f})")
