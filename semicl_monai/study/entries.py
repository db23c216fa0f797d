"""What a study has measured, read from its tables: a method at an amount of labels, over all of its splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np

from semicl_monai.handlers.case_metrics import METRICS
from semicl_monai.study.results import read_table
from semicl_monai.utils import InputError

Values = Mapping[tuple[str, str], float]
ALL_CLASSES = "mean"


@dataclass(frozen=True)
class Entry:
    """A method at an amount of labels.

    Args:
        method: its name in the study.
        fraction: labelled fraction, or number, as it was asked for.
        volumes: labelled volumes, the mean over the splits.
        minutes: of all its steps, the mean over the splits.
        cpu_minutes: of the processors, likewise.
        splits: how many it has been run on.
        values: by metric and class (and ``"mean"``, of the classes of a case): the value of each split and case.
    """

    method: str
    fraction: str
    volumes: float
    minutes: float
    cpu_minutes: float
    splits: int
    values: Mapping[str, Mapping[str, Values]]

    @property
    def dice(self) -> Values:
        """Mean Dice of the classes, of each split and case."""
        return self.values["dice"][ALL_CLASSES]

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return [name for name in self.values["dice"] if name != ALL_CLASSES]


def read_entries(folder: str | Path) -> list[Entry]:
    """Read ``cases.csv`` and ``cells.csv`` of a study, in the order of its methods and by amount of labels.

    Raises:
        InputError: When a table is not there, holds nothing, or has a value that is no number.
    """
    folder = Path(folder)
    rows: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in read_table(folder / "cases.csv"):
        rows[row["method"], row["labelled_fraction"]].append(row)
    if not rows:
        raise InputError(f"{folder / 'cases.csv'} holds no case: no cell of the study is done.")
    cells = [cell for cell in read_table(folder / "cells.csv") if cell["state"] == "done"]
    entries = [_entry(*about, own, [cell for cell in cells if _about(cell) == about]) for about, own in rows.items()]
    names = list(dict.fromkeys(entry.method for entry in entries))
    return sorted(entries, key=lambda entry: (entry.volumes, names.index(entry.method)))


def _about(row: Mapping[str, str]) -> tuple[str, str]:
    return row["method"], row["labelled_fraction"]


def _entry(method: str, fraction: str, rows: Iterable[Mapping[str, str]], cells: list[dict[str, str]]) -> Entry:
    values: dict[str, dict[str, dict]] = {metric: defaultdict(dict) for metric in METRICS}
    for row in rows:
        for metric in METRICS:
            values[metric][row["class"]][row["split_seed"], row["case"]] = float(row[metric])
    for of_metric in values.values():
        of_metric[ALL_CLASSES] = _mean_of_classes(list(of_metric.values()))
    volumes, seconds, cpu = (
        mean(float(cell[column]) for cell in cells) for column in ("labelled_volumes", "seconds", "cpu_seconds")
    )
    return Entry(method, fraction, volumes, seconds / 60, cpu / 60, len(cells), values)


def _mean_of_classes(of_classes: list[dict[tuple[str, str], float]]) -> dict[tuple[str, str], float]:
    """Mean over the classes of each case that its truth holds."""
    table = {key: [values[key] for values in of_classes if not np.isnan(values[key])] for key in of_classes[0]}
    return {key: mean(values) if values else float("nan") for key, values in table.items()}
