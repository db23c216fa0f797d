"""Make the hybrid data set: half of the training volumes get a weak label, a box around the object.

python make_boxes.py DATA OUT: DATA is a folder with dataset.json. OUT gets a dataset.json with the same files, and the
weak labels. A weak label is 0 outside of the box and 1 more than the highest class number inside.
"""

import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np

data, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
(out / "boxes").mkdir(parents=True)
content = json.loads((data / "dataset.json").read_text())
unknown = len(content["labels"])


def box(file):
    label = nib.load(file)
    inside = np.argwhere(np.asarray(label.dataobj) > 0)
    weak = np.zeros(label.shape, np.uint8)
    weak[tuple(slice(low, high + 1) for low, high in zip(inside.min(0), inside.max(0), strict=True))] = unknown
    return nib.Nifti1Image(weak, label.affine)


with_box = np.random.default_rng(0).permutation(len(content["training"])) % 2 == 0
for entry, boxed in zip(content["training"], with_box, strict=True):
    entry.update({key: str(data / entry[key]) for key in ("image", "label")})
    if boxed:
        entry["weak_label"] = f"boxes/{Path(entry['image']).name}"
        nib.save(box(entry["label"]), out / entry["weak_label"])
content["test"] = []
(out / "dataset.json").write_text(json.dumps(content, indent=1))
