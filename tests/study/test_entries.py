from __future__ import annotations

import csv
import math
from collections import defaultdict

import numpy as np
import pytest

from semicl_monai.study import read_entries
from semicl_monai.utils import InputError


def test_they_hold_what_a_recount_of_the_table_gives(tables):
    rng = np.random.default_rng(0)
    folder = tables({(m, v): {s: rng.random((4, 2)) for s in (0, 1)} for m in ("b", "a") for v in (12, 6)})
    entries = read_entries(folder)
    assert [(entry.method, entry.fraction) for entry in entries] == [("b", "6"), ("a", "6"), ("b", "12"), ("a", "12")]
    count = defaultdict(list)
    with open(folder / "cases.csv") as file:
        for row in csv.DictReader(file):
            count[row["method"], row["labelled_fraction"], row["split_seed"], row["case"]].append(float(row["dice"]))
    for entry in entries:
        assert entry.classes == ["Front", "Back"]
        assert (entry.splits, entry.minutes, entry.cpu_minutes, entry.volumes) == (2, 1.0, 1.5, float(entry.fraction))
        for (split, case), value in entry.dice.items():
            assert value == pytest.approx(sum(count[entry.method, entry.fraction, split, case]) / 2)


def test_a_class_that_a_case_does_not_have_takes_no_part_in_its_mean(tables):
    nan = math.nan
    (entry,) = read_entries(tables({("a", 6): {0: [[0.4, nan], [nan, nan], [0.2, 0.4]]}}))
    assert list(entry.dice.values()) == pytest.approx([0.4, nan, 0.3], nan_ok=True)


def test_a_table_without_patients_is_read_as_one_of_a_patient_a_case(tables):
    folder = tables({("a", 6): {0: np.full((2, 2), 0.5)}})
    lines = [line.split(",") for line in (folder / "cases.csv").read_text().splitlines()]
    place = lines[0].index("patient")
    (folder / "cases.csv").write_text("".join(",".join(line[:place] + line[place + 1 :]) + "\n" for line in lines))
    (entry,) = read_entries(folder)
    assert (entry.patients, list(entry.dice.values())) == ({}, [0.5, 0.5])


def test_a_study_without_a_result_is_refused(tables):
    with pytest.raises(InputError, match=r"cases\.csv holds no case of a completed cell"):
        read_entries(tables({}))


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no table .*cases\.csv: give the folder of a study"):
        read_entries(tmp_path)


def test_cases_of_a_cell_that_is_not_done_yet_are_left_out(tables):
    folder = tables({("a", 6): {0: [[0.4, 0.6]], 1: [[0.2, 0.2]]}, ("b", 6): {0: [[0.1, 0.1]]}})
    lines = (folder / "cells.csv").read_text().splitlines(keepends=True)
    (folder / "cells.csv").write_text("".join(lines[:2]))  # the first cell alone
    (entry,) = read_entries(folder)
    assert (entry.method, entry.splits, list(entry.dice.values())) == ("a", 1, [0.5])


def test_a_cost_that_is_not_known_is_left_out(tables):
    folder = tables({("a", 6): {0: [[0.4, 0.6]], 1: [[0.2, 0.2]]}})
    text = (folder / "cells.csv").read_text()
    (folder / "cells.csv").write_text(text.replace("60,90", ",", 1))
    assert [entry.minutes for entry in read_entries(folder)] == [1.0]
    (folder / "cells.csv").write_text(text.replace("60,90", ","))
    assert math.isnan(read_entries(folder)[0].cpu_minutes)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("dice", "dyce", " must have the columns method, .*, case, class, dice, hd95, asd, got method, .*, dyce, "),
        ("0.4", "much", ", row 2: dice must be a number from 0 to 1, got 'much'"),
        ("0.4,", "1.7,", ", row 2: dice must be a number from 0 to 1, got '1.7'"),
        ("0.4,", "1e308,", ", row 2: dice must be a number from 0 to 1, got '1e308'"),
        ("0.4,4.0", "0.4,inf", ", row 2: hd95 must be a number of at least 0, got 'inf'"),
        ("0.4,4.0,0.4", "0.4,4.0,-1", ", row 2: asd must be a number of at least 0, got '-1'"),
        (",", ";", " must have the columns method, .*, got method;"),
    ],
)
def test_other_tables_are_refused(tables, old, new, reason):
    folder = tables({("a", 6): {0: [[0.4, 0.6]]}})
    (folder / "cases.csv").write_text((folder / "cases.csv").read_text().replace(old, new))
    with pytest.raises(InputError, match=rf"/cases\.csv{reason}"):
        read_entries(folder)


@pytest.mark.parametrize("name", ["cells.csv", "cases.csv"])
def test_a_row_that_is_there_twice_is_refused(tables, name):
    folder = tables({("a", 6): {0: [[0.4, 0.6]], 1: [[0.2, 0.2]]}})
    lines = (folder / name).read_text().splitlines(keepends=True)
    (folder / name).write_text("".join([*lines, lines[1]]))
    with pytest.raises(InputError, match="the study has 2 rows of method a, labelled_fraction 6, split_seed 0"):
        read_entries(folder)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("done", "Done", r"state must be one of started, done, failed, stopped, got 'Done'"),
        ("6,done", "-5,done", "labelled_volumes must be a number of at least 0, got '-5'"),
        ("6,done", ",done", "wanted the labelled_volumes of a completed cell, got none"),
        ("60", "inf", "seconds must be a number of at least 0, got 'inf'"),
    ],
)
def test_a_cell_that_a_study_does_not_write_is_refused(tables, old, new, reason):
    folder = tables({("a", 6): {0: [[0.4, 0.6]]}})
    (folder / "cells.csv").write_text((folder / "cells.csv").read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=rf"/cells\.csv, row 2: {reason}\.$"):
        read_entries(folder)


def test_a_cell_that_is_done_and_has_no_cases_is_refused(tables):
    folder = tables({("a", 6): {0: [[0.4, 0.6]], 1: [[0.2, 0.2]]}})
    lines = (folder / "cases.csv").read_text().splitlines(keepends=True)
    (folder / "cases.csv").write_text("".join(lines[:3]))
    reason = "no cases of a completed cell: method a, labelled_fraction 6, split_seed 1"
    with pytest.raises(InputError, match=f"a table of the study has {reason}"):
        read_entries(folder)


def test_cells_of_one_split_with_other_cases_are_refused(tables):
    folder = tables({("a", 6): {0: [[0.4, 0.6], [0.2, 0.2]], 1: [[0.4, 0.6]]}, ("b", 6): {0: [[0.1, 0.1]]}})
    with pytest.raises(
        InputError, match=r"different cases for method b, .* and method a, .*: only one has class Back of case_1"
    ):
        read_entries(folder)
