"""Write a list of ACDC for choices: 3 labelled patients and 20 validation patients that no table uses in this way.

python docs/benchmark/development_list.py DATA/ACDC
"""

import json
import random
import re
import sys
from pathlib import Path

LABELLED, VALIDATION, SEED = 3, 20, 10
TWICE = {"patient074", "patient076"}  # both have the same images

folder = Path(sys.argv[1])
every = json.loads((folder / "all_patients.json").read_text())
of_tables = json.loads((folder / "7_patients.json").read_text())["training"]


def patient(record):
    return re.search(r"patient\d+", record["image"]).group()


used = {patient(record) for record in of_tables}
others = sorted({patient(record) for record in every["training"]} - used - TWICE)
drawn = random.Random(SEED).sample(others, LABELLED + VALIDATION)
labelled, validation = set(drawn[:LABELLED]), set(drawn[LABELLED:])
lists = {"training": [], "unlabelled": [], "validation": [], "test": every["test"]}
for record in every["training"]:
    part = (
        "validation" if patient(record) in validation else "training" if patient(record) in labelled else "unlabelled"
    )
    lists[part].append({"image": record["image"]} if part == "unlabelled" else record)
with (folder / "development.json").open("x") as file:  # nothing is overwritten
    json.dump({**every, **lists}, file, indent=1)
print("labelled", *sorted(labelled), "validation", *sorted(validation))
