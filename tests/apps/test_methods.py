from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from semicl_monai.apps.methods import table
from semicl_monai.methods import METHODS, FineTuningMethod, find_method

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def rows():
    """The cells of each line of the table."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table().splitlines()]


def test_there_is_a_full_row_for_every_method(rows):
    header, rule, *body = rows
    assert [row[0] for row in body] == [f"`{name}`" for name in METHODS.names]
    assert all(len(row) == len(header) == len(rule) and all(row) for row in body)
    assert {len(line) for line in table().splitlines()} == {len(table().splitlines()[0])}


def test_a_row_tells_what_the_method_is(rows):
    cells = {row[0]: row[1:] for row in rows[2:]}
    assert cells["`pcl`"] == [
        "Contrast positions of slices.",
        "all training images",
        "encoder",
        "Zeng et al. 2021, arXiv:2106.09157",
    ]


def test_only_methods_with_an_objective_on_labels_or_a_fine_tuning_see_labels(rows):
    seeing = {row[0].strip("`") for row in rows[2:] if "labels" in row[2]}
    fine_tunings = {name for name in METHODS.names if issubclass(find_method(name), FineTuningMethod)} - {"random"}
    assert seeing == {"local", "global_local", "joint", *fine_tunings}


def test_the_command_prints_the_table(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["semicl_monai", "methods"])
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setenv("PAGER", "cat")
    runpy.run_module("semicl_monai", run_name="__main__")
    assert capsys.readouterr().out.strip() == table()


def test_the_readme_holds_exactly_this_table():
    assert table() in README.read_text(), "put in what python -m semicl_monai methods prints"
