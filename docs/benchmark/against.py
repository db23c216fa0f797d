"""Print how each other method of a table differs from one method: mean Dice, and p with Holm's correction.

python docs/benchmark/against.py TABLE METHOD: TABLE is a folder with cases.csv and cells.csv. All methods are compared
on the splits that they share with METHOD, at each amount of labels. p is that of report: paired by patient, by
Wilcoxon's test.
"""

import sys

from semicl_monai.study import mean_of, p_values, read_entries

table, method = sys.argv[1:]
entries = read_entries(table)
ours = [entry for entry in entries if entry.method == method]
if not ours:
    sys.exit(f"{table} has no method {method}.")
for one in ours:
    others = [entry for entry in entries if entry.fraction == one.fraction and entry is not one]
    for other, p in zip(others, p_values(one, others), strict=True):
        shared = one.split_seeds & other.split_seeds
        difference = mean_of(other.dice_on(shared)) - mean_of(one.dice_on(shared))
        print(f"{one.fraction}; {other.method}; {difference:+.4f}; p {p:.2g}; splits {len(shared)}")
