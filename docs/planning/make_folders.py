"""Make five data sets in the raw layout of nnU-Net: hippocampus, ACDC, and three of noise with five volumes each.

python make_folders.py DATA RAW: DATA holds Task04_Hippocampus and ACDC, each with its data list.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

data, raw = Path(sys.argv[1]), Path(sys.argv[2])


def described(number, name, channel, labels, cases):
    folder = raw / f"Dataset{number:03d}_{name}"
    for part in ("imagesTr", "labelsTr"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for case, image, label in cases:
        for source, target in ((image, f"imagesTr/{case}_0000.nii.gz"), (label, f"labelsTr/{case}.nii.gz")):
            if isinstance(source, Path):
                (folder / target).symlink_to(source.resolve())
            else:
                nib.save(source, folder / target)
    content = {"channel_names": {"0": channel}, "labels": labels, "numTraining": len(cases), "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(content))


def listed(file):
    folder = file.parent
    entries = json.loads(file.read_text())["training"]
    return [(Path(e["image"]).name.split(".")[0], folder / e["image"], folder / e["label"]) for e in entries]


def noise(shape, spacing, low):
    rng = np.random.default_rng(0)
    for case in range(5):
        label = np.zeros(shape, np.uint8)
        label[tuple(slice(n // 3, 2 * n // 3) for n in shape)] = 1
        image = (rng.integers(0, 200, shape, np.int16) + low + 100 * label).astype(np.int16)
        affine = np.diag([*spacing, 1.0])
        yield f"c{case}", nib.Nifti1Image(image, affine), nib.Nifti1Image(label, affine)


described(
    4,
    "Hippocampus",
    "MRI",
    {"background": 0, "Anterior": 1, "Posterior": 2},
    listed(data / "Task04_Hippocampus/dataset.json"),
)
described(27, "ACDC", "MRI", {"background": 0, "RV": 1, "Myo": 2, "LV": 3}, listed(data / "ACDC/all_patients.json"))
described(101, "ThinCT", "CT", {"background": 0, "organ": 1}, list(noise((512, 512, 250), (0.8, 0.8, 1.25), -50)))
described(102, "ThickMR", "MRI", {"background": 0, "organ": 1}, list(noise((384, 384, 24), (0.6, 0.6, 5.0), 1)))
described(103, "WholeBody", "MRI", {"background": 0, "organ": 1}, list(noise((250, 250, 600), (2.0, 2.0, 2.0), 1)))
