"""Give the network of a 2-D bundle the slices beside each slice as channels.

python neighbours.py BUNDLE: its configs are changed.
"""

import json
import sys
from pathlib import Path

for stage in ("train", "evaluate"):
    file = Path(sys.argv[1]) / "configs" / f"{stage}.json"
    config = json.loads(file.read_text())
    config["in_channels"] = 3
    added = {"_target_": "semicl_monai.transforms.neighbouring_slices.NeighbouringSlicesd", "keys": "image", "axis": "@slice_axis"}
    transforms = config["deterministic_transforms"] if stage == "train" else config["preprocessing"]["transforms"]
    transforms[0]["in_channels"] = 1
    transforms.insert(transforms.index("%scaling") + 1, added)
    file.write_text(json.dumps(config, indent=1))
