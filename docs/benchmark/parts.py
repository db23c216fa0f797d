"""Print the mean Dice of each class on each held-out part, from a table that has both.

python docs/benchmark/parts.py TABLE DATALIST: TABLE is a folder with cases.csv. DATALIST has lists test and validation.
"""

import csv
import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

table, datalist = map(Path, sys.argv[1:])
lists = json.loads(datalist.read_text())
parts = {Path(record["image"]).name.split(".")[0]: part for part in ("test", "validation") for record in lists[part]}

dice = defaultdict(lambda: defaultdict(list))
with open(table / "cases.csv") as file:
    for row in csv.DictReader(file):
        for part in (parts[row["case"]], "both"):
            for name in (row["class"], "mean"):
                dice[row["method"], row["split_seed"], part][name].append(float(row["dice"]))

for key, values in sorted(dice.items()):
    print(*key, *(f"{name} {mean(of_class):.3f}" for name, of_class in values.items()), sep="; ")
