#!/usr/bin/env bash
# MONAI 1.6.1 (torch 2.13.0): two threads that share a ConfigParser make the object of one id twice.
#
# get_parsed_content(id, instantiate=True) makes an object at its first call and returns the same one later. There is no
# lock: threads that ask for it before it is made each get one of their own, and the last one stays. MONAI Label 0.8.5
# shares one parser among the two threads of its active learning (tasks/scoring/epistemic_v2.py). So one image may be
# preprocessed by one object, and inverted by an Invertd that refers to the other one as "@preprocessing".
#
# Seen: two different objects; the first thread's image cannot be inverted ("Error Flip getting the most recently applied
# invertible transform Flip ... != ..."), the last one's can. Exits 0 while that holds, 1 when both can be inverted.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 monai==1.6.1
cd "$folder"
cat > slow.py <<'PY'
import time

from monai.transforms import Compose


class SlowCompose(Compose):
    """A preprocessing that takes a while to make, as one that reads a file."""

    def __init__(self, transforms):
        time.sleep(1)
        super().__init__(transforms)
PY
venv/bin/python - <<'PY' 2>/dev/null
import sys
from concurrent.futures import ThreadPoolExecutor

import torch
from monai.bundle import ConfigParser

flip = {"_target_": "Flipd", "keys": "image", "spatial_axis": 0}
invert = {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"}
parser = ConfigParser({"preprocessing": {"_target_": "slow.SlowCompose", "transforms": [flip]}, "invert": invert})
parser.parse()


def preprocessed(_):
    made = parser.get_parsed_content("preprocessing", instantiate=True)
    return made, made({"image": torch.rand(1, 4, 4, 4)})


with ThreadPoolExecutor(2) as threads:
    (first, a), (second, b) = threads.map(preprocessed, range(2))
outcomes = []
for sample in (a, b):
    try:
        parser.get_parsed_content("invert", instantiate=True)({**sample, "pred": sample["image"].clone()})
        outcomes.append("inverted")
    except RuntimeError as error:
        outcomes.append(str(error.__cause__ or error))
print("different objects:", first is not second)
print(*sorted(outcomes), sep="\n")
refused = [text for text in outcomes if "getting the most recently applied" in text]
sys.exit(0 if first is not second and len(refused) == 1 and "inverted" in outcomes else 1)
PY
