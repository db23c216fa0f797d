"""The results of a study, read from its tables.

An entry holds the results of one method at one amount of labels, over all splits.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

import numpy as np

from semicl_monai.handlers.metrics import METRICS
from semicl_monai.study.results import OF_A_CELL, read_cases, read_cells
from semicl_monai.utils import InputError

Values = Mapping[tuple[str, str], float]
ALL_CLASSES = "mean"


@dataclass(frozen=True)
class Entry:
    """The results of a method at an amount of labels.

    Args:
        method: name of the method in the study.
        fraction: labelled fraction or number, as given by the user.
        volumes: number of labelled volumes, the mean over the splits.
        minutes: time of all steps, the mean over the splits with a known time. nan if no time is known.
        cpu_minutes: processor time of all steps, with the same mean.
        splits: number of splits.
        values: the value of each split and case, by metric and class. The class ``"mean"`` is the mean over the classes
            of a case.
        patients: patient by case. A case without an entry is a patient of its own.
    """

    method: str
    fraction: str
    volumes: float
    minutes: float
    cpu_minutes: float
    splits: int
    values: Mapping[str, Mapping[str, Values]]
    patients: Mapping[str, str] = field(default_factory=dict)

    @property
    def dice(self) -> Values:
        """Dice of each split and case, the mean over the classes."""
        return self.values["dice"][ALL_CLASSES]

    @property
    def split_seeds(self) -> set[str]:
        """The splits that the method has been run on."""
        return {split for split, _ in self.dice}

    def dice_on(self, split_seeds: set[str]) -> Values:
        """Dice of each case of some splits, the mean over the classes."""
        return {about: value for about, value in self.dice.items() if about[0] in split_seeds}

    @property
    def classes(self) -> list[str]:
        """Names of the classes."""
        return [name for name in self.values["dice"] if name != ALL_CLASSES]


def shared_splits(entries: Sequence[Entry]) -> set[str]:
    """Return the splits that all entries have been run on.

    The means of the entries can be compared only on these splits.
    """
    return set.intersection(*(entry.split_seeds for entry in entries))


def read_entries(folder: str | Path) -> list[Entry]:
    """Read ``cases.csv`` and ``cells.csv`` of a study.

    The entries are sorted by amount of labels, then by the order of the methods.

    Raises:
        InputError: When a table does not exist, cannot be read, or holds no case of a cell that is done.
    """
    folder = Path(folder)
    cases, cells = read_cases(folder), read_cells(folder)
    try:
        entries = _entries(cases, [cell for cell in cells if cell["state"] == "done"])
    except InputError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"the tables of {folder} are not those of a study: {error!r}.") from error
    if not entries:
        raise InputError(f"{folder / 'cases.csv'} holds no case of a completed cell.")
    return entries


def _entries(cases: list[dict[str, str]], cells: list[dict[str, str]]) -> list[Entry]:
    _check_once(cells, OF_A_CELL)
    _check_once(cases, (*OF_A_CELL, "case", "class"))
    rows: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    for row in cases:
        rows[_about(row)].append(row)
    done: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for cell in cells:
        if _about(cell) not in rows:
            raise InputError(f"a table of the study has no cases of a completed cell: {_in_words(OF_A_CELL, cell)}.")
        done[cell["method"], cell["labelled_fraction"]].append(cell)
    _check_same_cases(cells, rows)
    entries = [_entry(*about, own, [row for cell in own for row in rows[_about(cell)]]) for about, own in done.items()]
    names = list(dict.fromkeys(entry.method for entry in entries))
    return sorted(entries, key=lambda entry: (entry.volumes, names.index(entry.method)))


def _check_once(rows: Sequence[Mapping[str, str]], columns: Sequence[str]) -> None:
    """Refuse duplicate rows. They occur when the tables of two studies were joined."""
    for about, count in Counter(tuple(row[name] for name in columns) for row in rows).items():
        if count > 1:
            what = _in_words(columns, dict(zip(columns, about, strict=True)))
            raise InputError(f"a table of the study has {count} rows of {what}: wanted one row.")


def _check_same_cases(cells: Sequence[Mapping[str, str]], rows: Mapping[tuple[str, ...], list[dict[str, str]]]) -> None:
    """Refuse cells of one split that were evaluated on different cases. Their means cannot be compared."""
    first: dict[str, Mapping[str, str]] = {}
    for cell in cells:
        other = first.setdefault(cell["split_seed"], cell)
        ours, theirs = ({(row["case"], row["class"]) for row in rows[_about(one)]} for one in (cell, other))
        if ours != theirs:
            both, (case, name) = f"{_in_words(OF_A_CELL, cell)} and {_in_words(OF_A_CELL, other)}", min(ours ^ theirs)
            raise InputError(
                f"a table of the study has different cases for {both}: only one has class {name} of {case}."
            )


def _in_words(columns: Sequence[str], row: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {row[name]}" for name in columns)


def _about(row: Mapping[str, str]) -> tuple[str, ...]:
    return row["method"], row["labelled_fraction"], row["split_seed"]


def _entry(method: str, fraction: str, cells: list[dict[str, str]], rows: Sequence[Mapping[str, str]]) -> Entry:
    values: dict[str, dict[str, dict[tuple[str, str], float]]] = {metric: defaultdict(dict) for metric in METRICS}
    for row in rows:
        for metric in METRICS:
            values[metric][row["class"]][row["split_seed"], row["case"]] = float(row[metric])
    for of_metric in values.values():
        of_metric[ALL_CLASSES] = _mean_of_classes(list(of_metric.values()))
    volumes, seconds, cpu = (
        [float(cell[column]) for cell in cells if cell[column]]
        for column in ("labelled_volumes", "seconds", "cpu_seconds")
    )
    patients = {
        row["case"]: row["patient"] for row in rows if row.get("patient")
    }  # tables of earlier versions have no patients
    return Entry(method, fraction, mean(volumes), _minutes(seconds), _minutes(cpu), len(cells), values, patients)


def _minutes(seconds: list[float]) -> float:
    return mean(seconds) / 60 if seconds else float("nan")


def _mean_of_classes(of_classes: list[dict[tuple[str, str], float]]) -> dict[tuple[str, str], float]:
    """Return the mean over the classes for each case, without classes that the case does not have."""
    table = {key: [values[key] for values in of_classes if not np.isnan(values[key])] for key in of_classes[0]}
    return {key: mean(values) if values else float("nan") for key, values in table.items()}
