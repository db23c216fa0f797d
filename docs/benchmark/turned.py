"""Direction from the left to the right ventricle in scans of ACDC that are taller than wide, and in all others.

python docs/benchmark/turned.py DATA/ACDC/all_patients.json [CASES.csv]: with a table of cases, also their mean Dice.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

RIGHT, LEFT = 1, 3
NAMES = {True: "taller than wide", False: "others"}

file = Path(sys.argv[1])
lists = json.loads(file.read_text())
tall = {}
for case in lists["training"] + lists["validation"] + lists["test"]:
    height, width = nib.load(file.parent / case["image"]).shape[:2]
    tall[Path(case["image"]).name.removesuffix(".nii.gz")] = height > width
print(f"taller than wide: {sum(tall.values())} of {len(tall)} scans")

degrees: dict[bool, list[float]] = {True: [], False: []}
for case in lists["training"] + lists["validation"]:
    label = np.asanyarray(nib.load(file.parent / case["label"]).dataobj)
    right, left = (np.argwhere(label == number)[:, :2].mean(0) for number in (RIGHT, LEFT))
    degrees[label.shape[0] > label.shape[1]].append(float(np.degrees(np.arctan2(*(right - left)[::-1]))) % 360)
for is_tall, values in degrees.items():
    low, middle, high = np.percentile(values, (10, 50, 90))
    print(
        f"{NAMES[is_tall]}: {middle:.0f} degrees (10th to 90th percentile {low:.0f} to {high:.0f}), {len(values)} scans"
    )

rows = list(csv.DictReader(Path(sys.argv[2]).read_text().splitlines())) if len(sys.argv) > 2 else []
for method in dict.fromkeys(row["method"] for row in rows):
    for is_tall, name in NAMES.items():
        dice = [float(r["dice"]) for r in rows if r["method"] == method and tall[r["case"]] is is_tall]
        print(f"{method}, {name}: mean Dice {np.mean(dice):.3f}")
