"""The results of a study as two tables: one of all cases, one of all cells."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from semicl_monai.handlers.metrics import METRICS
from semicl_monai.study.grid import Cell
from semicl_monai.study.runner import STATES, Runner
from semicl_monai.utils import InputError, read_json, write_whole

OF_A_CELL = ("method", "labelled_fraction", "split_seed")
CASES = (*OF_A_CELL, "case", "class", *METRICS, "patient")
TABLES = ("cases.csv", "cells.csv")  # written in this order: when a cell is done, its cases are there
CELLS = (*OF_A_CELL, "labelled_volumes", "state", "seconds", "cpu_seconds", "peak_mib", "error")
SCORES = {metric: (0.0, 1.0 if metric == "dice" else math.inf) for metric in METRICS}
COSTS = {"labelled_volumes": (0.0, math.inf), "seconds": (0.0, math.inf), "cpu_seconds": (0.0, math.inf)}


def write_results(output_dir: Path, cells: Sequence[Cell], runner: Runner) -> None:
    """Write the tables ``cells.csv`` and ``cases.csv`` of a study.

    ``cells.csv`` has one line for each cell, with its state and cost. ``cases.csv`` has one line for each case and
    class of the cells that are done. Lines of cells from an earlier grid are kept. The cost of a cell is the cost of
    all its steps, including the shared ones. It is the cost of running the cell alone. The time is not known if one of
    the steps was resumed.
    """
    reached = [cell for cell in cells if cell.last.key in runner.records]
    done = [cell for cell in reached if runner.records[cell.last.key].state == "done"]
    rows = ((row for cell in done for row in _cases(cell, runner)), (_cell(cell, runner) for cell in reached))
    for name, columns, own in zip(TABLES, (CASES, CELLS), rows, strict=True):
        write_table(output_dir / name, columns, [*_of_others(output_dir / name, columns, cells), *own])


def _of_others(file: Path, columns: Sequence[str], cells: Sequence[Cell]) -> list[dict[str, str]]:
    """Return the rows of a table that belong to other cells."""
    own = {tuple(map(str, _about(cell).values())) for cell in cells}
    rows = read_table(file, OF_A_CELL) if file.is_file() else []
    for name in (name for name in (rows or [{}])[0] if name not in columns):
        raise InputError(f"{file} has a column {name}, which a study does not write: remove it.")
    return [row for row in rows if tuple(row[name] for name in OF_A_CELL) not in own]


def _about(cell: Cell) -> dict[str, Any]:
    return dict(zip(OF_A_CELL, (cell.variant, cell.fraction, cell.split_seed), strict=True))


def _cases(cell: Cell, runner: Runner) -> Iterable[dict[str, Any]]:
    file = runner.place(cell.last) / "eval" / "evaluate" / "cases.csv"
    for row in read_table(file, ("case", "class", *METRICS), SCORES):
        # four digits are enough: further digits mean less than a voxel
        yield {
            **_about(cell),
            "patient": row["case"],
            **{
                name: row[name] for name in ("case", "class", "patient") if name in row
            },  # without the column of the weights
            **{metric: f"{float(row[metric]):.4f}" for metric in METRICS},
        }


def _cell(cell: Cell, runner: Runner) -> dict[str, Any]:
    records = [runner.records[step.key] for step in cell.last.chain()]
    row = {**_about(cell), "state": records[-1].state, "error": records[-1].error}
    if records[-1].state != "done":
        return row
    # not the split.json of the evaluation, which does not know the validation option of the training
    trained = next(step for step in reversed(cell.last.chain()) if step.stage == "train")
    file = runner.place(trained) / "eval" / "train" / "split.json"
    labelled = read_json(file, "split").get("labelled")
    if not isinstance(labelled, list):
        raise InputError(f"split {file} must have a list 'labelled', got {labelled!r}.")
    cost = {
        "seconds": _total(sum, [record.seconds for record in records]),
        "cpu_seconds": _total(sum, [record.cpu_seconds for record in records]),
        "peak_mib": _total(max, [record.peak_mib for record in records]),
    }
    return {**row, "labelled_volumes": len(labelled), **cost}


def _total(over: Callable[[Iterable[float]], float], values: Sequence[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(over(known)) if len(known) == len(values) else None


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file, completely or not at all.

    Raises:
        InputError: When the file cannot be written.
    """
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(file, text.getvalue(), "give a writable --output_dir")


def read_table(
    file: Path, columns: Sequence[str] = (), numbers: Mapping[str, tuple[float, float]] = MappingProxyType({})
) -> list[dict[str, str]]:
    """Read a CSV file. A byte order mark is skipped.

    Args:
        file: the table.
        columns: columns that the table must have.
        numbers: the smallest and largest allowed value of each column of numbers. Such a column may also hold ``nan``
            or empty cells.

    Raises:
        InputError: When the file does not exist, is not text, is cut off, or has other content.
    """
    if not file.is_file():
        raise InputError(f"there is no table {file}: give the folder of a study.")
    try:
        text = file.read_text(encoding="utf-8-sig")
        reader = csv.DictReader(StringIO(text, newline=""), strict=True)
        rows = list(reader)
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{file} must be a CSV file in UTF-8, got {error}.") from error
    _check_same_columns(file, reader.fieldnames or [], columns)
    if not text.endswith("\n"):
        raise InputError(f"{file} is cut off: its last line does not end, {text.splitlines()[-1][-80:]!r}.")
    for line, row in enumerate(rows, start=2):
        _check_same_row(f"{file}, row {line}", row, numbers)
    return rows


def _check_same_columns(file: Path, found: Sequence[str], wanted: Sequence[str]) -> None:
    if not found:
        raise InputError(f"{file} must be a CSV file with a line of columns, got an empty file.")
    if any(name not in found for name in wanted):
        raise InputError(f"{file} must have the columns {', '.join(wanted)}, got {', '.join(found)[:200]}.")


def _check_same_row(where: str, row: Mapping[Any, Any], numbers: Mapping[str, tuple[float, float]]) -> None:
    if None in row or None in row.values():
        raise InputError(f"{where}: wanted a value for each column, got {[*row.values()]}.")
    for name, (least, most) in numbers.items():
        wanted = f"a number of at least {least:g}" if math.isinf(most) else f"a number from {least:g} to {most:g}"
        if not _is_within(row[name] or "nan", least, most):
            raise InputError(f"{where}: {name} must be {wanted}, got {row[name]!r}.")


def _is_within(text: str, least: float, most: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isnan(number) or (math.isfinite(number) and least <= number <= most)


def read_cells(output_dir: Path) -> list[dict[str, str]]:
    """Read the table of the cells of a study.

    Raises:
        InputError: When the table does not exist, is damaged, has an unknown state, or lacks the number of labelled
            volumes of a cell that is done.
    """
    file = output_dir / "cells.csv"
    cells = read_table(file, (*OF_A_CELL, "state", *COSTS), COSTS)
    for line, cell in enumerate(cells, start=2):
        if cell["state"] not in STATES:
            raise InputError(f"{file}, row {line}: state must be one of {', '.join(STATES)}, got {cell['state']!r}.")
        if cell["state"] == "done" and cell["labelled_volumes"] in ("", "nan"):
            raise InputError(f"{file}, row {line}: wanted the labelled_volumes of a completed cell, got none.")
    return cells


def read_cases(output_dir: Path) -> list[dict[str, str]]:
    """Read the table of the cases of a study.

    Raises:
        InputError: When the table does not exist or is damaged.
    """
    return read_table(output_dir / "cases.csv", (*OF_A_CELL, "case", "class", *METRICS), SCORES)


def read_summary(evaluation: Path) -> dict[str, Any]:
    """Read the ``summary.json`` of an evaluation.

    Args:
        evaluation: the folder ``eval/evaluate`` of a run.

    Raises:
        InputError: When the file cannot be read, or was not written by an evaluation.
    """
    file = evaluation / "summary.json"
    content = read_json(file, "summary")
    try:
        means = [
            content["classes"][name][metric]["mean"] for name in (*content["classes"], "mean") for metric in METRICS
        ]
    except (LookupError, TypeError) as error:
        raise InputError(f"summary {file} was not written by an evaluation: run evaluate again.") from error
    for mean in means:
        if not isinstance(mean, int | float):
            raise InputError(f"summary {file} must hold a number as each mean, got {mean!r}: run evaluate again.")
    return content
