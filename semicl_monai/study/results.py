"""The results of a study as two tables: every case, and every cell."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from semicl_monai.handlers.metrics import METRICS
from semicl_monai.study.grid import Cell
from semicl_monai.study.runner import Runner
from semicl_monai.utils import InputError, read_json

OF_A_CELL = ("method", "labelled_fraction", "split_seed")
CASES = (*OF_A_CELL, "case", "class", *METRICS, "patient")
TABLES = ("cells.csv", "cases.csv")
CELLS = (*OF_A_CELL, "labelled_volumes", "state", "seconds", "cpu_seconds", "peak_mib", "error")


def write_results(output_dir: Path, cells: Sequence[Cell], runner: Runner) -> None:
    """Write ``cells.csv``, what became of each cell, and ``cases.csv``, a line a case and class of those that are done.

    What the tables hold of other cells, which an earlier grid had, stays. The cost of a cell is that of all its steps,
    those it shares with others too: what it would take to run it alone. Where one of them was resumed it is not known.
    """
    reached = [cell for cell in cells if cell.last.key in runner.records]
    done = [cell for cell in reached if runner.records[cell.last.key].state == "done"]
    rows = ((_cell(cell, runner) for cell in reached), (row for cell in done for row in _cases(cell, runner)))
    for name, columns, own in zip(TABLES, (CELLS, CASES), rows, strict=True):
        write_table(output_dir / name, columns, [*_of_others(output_dir / name, cells), *own])


def _of_others(file: Path, cells: Sequence[Cell]) -> list[dict[str, str]]:
    """The rows of a table that are of none of the cells."""
    own = {tuple(map(str, _about(cell).values())) for cell in cells}
    rows = read_table(file) if file.is_file() else []
    return [row for row in rows if tuple(row[name] for name in OF_A_CELL) not in own]


def _about(cell: Cell) -> dict[str, Any]:
    return dict(zip(OF_A_CELL, (cell.variant, cell.fraction, cell.split_seed), strict=True))


def _cases(cell: Cell, runner: Runner) -> Iterable[dict[str, Any]]:
    file = runner.place(cell.last) / "eval" / "evaluate" / "cases.csv"
    for row in read_table(file):
        # more digits than an image has voxels for are no use to anyone, and fill the table
        yield {
            **_about(cell),
            "patient": row["case"],
            **row,
            **{metric: f"{float(row[metric]):.4f}" for metric in METRICS},
        }


def _cell(cell: Cell, runner: Runner) -> dict[str, Any]:
    records = [runner.records[step.key] for step in cell.last.chain()]
    row = {**_about(cell), "state": records[-1].state, "error": records[-1].error}
    if records[-1].state != "done":
        return row
    # not of the evaluation, which does not know what the training was told of validation
    trained = next(step for step in reversed(cell.last.chain()) if step.stage == "train")
    split = read_json(runner.place(trained) / "eval" / "train" / "split.json", "split")
    cost = {
        "seconds": _total(sum, [record.seconds for record in records]),
        "cpu_seconds": _total(sum, [record.cpu_seconds for record in records]),
        "peak_mib": _total(max, [record.peak_mib for record in records]),
    }
    return {**row, "labelled_volumes": len(split["labelled"]), **cost}


def _total(over: Callable[[Iterable[float]], float], values: Sequence[float | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(over(known)) if len(known) == len(values) else None


def write_table(file: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file, whole or not at all."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    draft = file.with_suffix(".draft")
    draft.write_text(text.getvalue(), encoding="utf-8")
    draft.replace(file)


def read_table(file: Path) -> list[dict[str, str]]:
    """Read a CSV file.

    Raises:
        InputError: When it is not there, or is no text.
    """
    if not file.is_file():
        raise InputError(f"there is no table {file}: wanted the folder of a study.")
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            return list(csv.DictReader(lines))
    except UnicodeDecodeError as error:
        raise InputError(f"{file} must be a CSV file in UTF-8, got {error}.") from error
