#!/usr/bin/env bash
# MONAI 1.6.1 (torch 2.13.0): an error in a dataset ends a ThreadDataLoader's epoch as if all batches had been given.
#
# ThreadDataLoader reads its source in a thread (ThreadBuffer). An exception of the source ends that thread, whose
# traceback goes to stderr; the loop over the loader ends without an error. A training on such a loader runs through its
# epochs, with fewer batches or none, and exits 0. torch's own DataLoader raises the error.
#
# Seen: the dataset fails at its third item of six; DataLoader raises ValueError, ThreadDataLoader gives two batches and
# ends. Exits 0 while that holds, 1 when the error arrives.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q torch==2.13.0 monai==1.6.1
cd "$folder"
venv/bin/python - <<'PY' 2>/dev/null
import sys

from monai.data import DataLoader, Dataset, ThreadDataLoader


def read(number):
    if number == 2:
        raise ValueError("item 2 cannot be read")
    return number


def outcome(kind):
    batches = 0
    try:
        for _ in kind(Dataset(list(range(6)), read), batch_size=1, num_workers=0):
            batches += 1
    except Exception as error:
        return f"{batches} batches, then {type(error).__name__}"
    return f"{batches} batches, then the end"


found = {kind.__name__: outcome(kind) for kind in (DataLoader, ThreadDataLoader)}
print(found)
sys.exit(0 if "Error" in found["DataLoader"] and found["ThreadDataLoader"] == "2 batches, then the end" else 1)
PY
