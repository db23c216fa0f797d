from __future__ import annotations

import csv
import re
from html.parser import HTMLParser
from statistics import mean

import numpy as np
import pytest

from semicl_monai.study import Table, page, read_entries, saving_table, score_rows, score_tables


@pytest.fixture
def folder(tables):
    rng = np.random.default_rng(0)
    level = {("random", 6): 0.6, ("random", 12): 0.7, ("local", 6): 0.65, ("local", 12): 0.95}
    return tables(
        {
            about: {s: (mid + 0.02 * rng.standard_normal((30, 2))).round(4) for s in (0, 1, 2)}
            for about, mid in level.items()
        }
    )


def recount(folder, **wanted):
    """Means of a column of the cases, in plain Python."""
    with open(folder / "cases.csv") as file:
        rows = [row for row in csv.DictReader(file) if all(row[key] == value for key, value in wanted.items())]
    return mean(float(row["dice"]) for row in rows)


def test_the_numbers_equal_an_independent_recount_of_the_cases(folder):
    entries = read_entries(folder)
    for table, count in zip(score_tables(entries), ("6", "12"), strict=True):
        assert table.title == f"{count}: {count} labelled volumes"
        names = ["method", "splits", "Dice Front", "Dice Back", "Dice mean (95 % interval)", "HD95, mm", "p"]
        assert table.columns == names
        for row in table.rows:
            name, splits, *numbers = (text.strip("*") for text in row)
            about = {"method": name, "labelled_fraction": count}
            found = [float(text.split()[0]) for text in numbers[:3]]
            wanted = [recount(folder, **about, **{"class": c}) for c in ("Front", "Back")] + [recount(folder, **about)]
            assert splits == "3"
            assert found == pytest.approx(wanted, abs=5e-4)
            assert float(numbers[3]) == pytest.approx(10 * recount(folder, **about), abs=5e-3)
    for row in score_rows(entries):
        if row["metric"] == "dice" and row["class"] != "mean":
            about = {key: row[key] for key in ("method", "labelled_fraction", "class")}
            assert float(row["mean"]) == pytest.approx(recount(folder, **about), abs=5e-5)
            assert float(row["low"]) < float(row["mean"]) < float(row["high"])


def test_the_best_of_an_amount_is_bold_and_the_others_are_tested_against_it(folder):
    for table in score_tables(read_entries(folder)):
        bold = [row for row in table.rows if row[0].startswith("**")]
        assert [row[0] for row in bold] == ["**local**"]
        assert bold[0][-1] == ""
        (rival,) = (row for row in table.rows if row not in bold)
        assert float(rival[-1]) < 1e-6


def test_methods_of_different_splits_are_ranked_on_those_that_all_have_run_on(tables):
    low, mid, high = (np.linspace(value, value + 0.02, 18).reshape(9, 2) for value in (0.4, 0.6, 0.9))
    scores = {("a", 6): {0: high, 1: low}, ("b", 6): {0: low, 1: mid}, ("c", 6): {1: low + 0.1}}
    (table,) = score_tables(read_entries(tables(scores)))
    rows = {row[0]: (row[1], row[-1]) for row in table.rows}
    assert set(rows) == {"a", "**b**", "c"}
    assert rows["**b**"] == ("**2**", "")
    assert rows["a"][0] == "2"
    assert rows["c"][0] == "1"
    assert float(rows["c"][1]) < 0.01  # on split 1 all volumes are better by b, on both they are better by a


def test_without_a_split_in_common_none_is_the_best(tables):
    low, high = np.full((3, 2), 0.4), np.full((3, 2), 0.9)
    scores = {("a", 6): {0: low, 1: low}, ("b", 6): {0: high}, ("c", 6): {1: high}}
    (table,) = score_tables(read_entries(tables(scores)))
    assert [(row[0], row[-1]) for row in table.rows] == [("a", ""), ("b", ""), ("c", "")]


def test_a_single_volume_has_no_interval(tables):
    (table,) = score_tables(read_entries(tables({("a", 6): {0: [[0.5, 0.6]]}})))
    assert table.rows[0][4] == "**0.550**"


def test_labels_saved_are_those_that_scratch_needs_less_those_that_were_used(folder):
    table = saving_table(read_entries(folder), "random")
    rows = {(row[0], row[1]): row[2:4] for row in table.rows}
    assert {row[4] for row in table.rows} == {"3"}
    local, few, many = (
        recount(folder, method=method, labelled_fraction=fraction)
        for method, fraction in (("local", "6"), ("random", "6"), ("random", "12"))
    )
    needed = 6 * 2 ** ((local - few) / (many - few))
    assert [float(text) for text in rows["local", "6"]] == pytest.approx([needed, needed - 6], abs=0.06)
    assert rows["local", "12"] == ["more than 12", "more than 0"]
    assert rows["random", "6"] == ["6.0", "0.0"]
    assert table.rows[0][5:] == ["1.0", "1.5"]


def test_the_network_from_scratch_saves_nothing_beside_itself(tables):
    scores = {("random", volumes): {0: np.full((3, 2), volumes / 200)} for volumes in (6, 12, 24, 120)}
    assert {row[3] for row in saving_table(read_entries(tables(scores)), "random").rows} == {"0.0"}


def test_without_a_network_from_scratch_nothing_is_said_of_labels_saved(folder):
    assert {tuple(row[2:5]) for row in saving_table(read_entries(folder), "none").rows} == {("", "", "")}


def test_a_method_below_the_fewest_labels_saves_none(tables):
    low, high = np.full((3, 2), 0.5), np.full((3, 2), 0.6)
    (_, local) = saving_table(read_entries(tables({("random", 6): {0: high}, ("local", 6): {0: low}})), "random").rows
    assert local[2:4] == ["fewer than 6", "none"]


def test_where_scratch_was_not_tried_with_as_few_labels_no_more_is_said_than_is_known(tables):
    low, high = np.full((3, 2), 0.5), np.full((3, 2), 0.6)
    (local, _) = saving_table(read_entries(tables({("random", 120): {0: high}, ("local", 6): {0: low}})), "random").rows
    assert local[2:4] == ["fewer than 120", "fewer than 114"]


def test_labels_saved_are_counted_on_the_splits_that_all_have_run_on(tables):
    low, mid, high = (np.full((3, 2), value) for value in (0.5, 0.6, 0.7))
    scores = {("random", 6): {0: low, 1: high}, ("random", 12): {0: high}, ("a", 6): {0: mid, 1: low}}
    scores |= {("b", 6): {1: high}}
    rows = {row[0]: row[2:5] for row in saving_table(read_entries(tables(scores)), "random").rows if row[1] == "6"}
    assert rows == {"random": ["6.0", "0.0", "1"], "a": ["8.5", "2.5", "1"], "b": ["", "", ""]}


def test_a_table_as_markdown():
    table = Table("Title", ["a", "left|right"], [["1", "**2**"]])
    assert table.markdown() == "## Title\n\n| a | left\\|right |\n| --- | --- |\n| 1 | **2** |\n"


def test_a_page_holds_all_it_shows_and_is_well_formed(tmp_path):
    picture = tmp_path / "p.png"
    picture.write_bytes(b"\x89PNG")
    text = page("A & B", [Table("T <1>", ["a"], [["**<b>**"]])], {"curve": picture}, "so & so")

    class Stack(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.open.append(tag)

        def handle_endtag(self, tag):
            assert self.open.pop() == tag

    parser = Stack()
    parser.feed(text)
    assert parser.open == []
    assert "<td><b>&lt;b&gt;</b></td>" in text
    assert "<p>so &amp; so</p>" in text
    assert re.findall(r'src="([^"]*)"', text) == ["data:image/png;base64,iVBORw=="]


NAN = float("nan")


def test_a_method_without_any_dice_is_not_the_best_whatever_its_place(tables):
    none, some = np.full((3, 2), NAN), np.full((3, 2), 0.5)
    scores = {("none", 6): {0: none}, ("some", 6): {0: some}, ("more", 6): {0: none}}
    (table,) = score_tables(read_entries(tables(scores)))
    assert [row[0] for row in table.rows] == ["none", "**some**", "more"]


def test_where_no_test_volume_has_a_class_nothing_is_the_best_and_no_labels_are_counted(tables):
    entries = read_entries(tables({(name, 6): {0: np.full((3, 2), NAN)} for name in ("random", "local")}))
    (table,) = score_tables(entries)
    assert [row[0] for row in table.rows] == ["random", "local"]
    assert {cell for row in table.rows for cell in row[2:]} == {"nan", "nan (nan to nan)", ""}
    assert {tuple(row[2:4]) for row in saving_table(entries, "random").rows} == {("", "")}


def test_amounts_without_a_dice_do_not_bound_what_is_saved(tables):
    low, high, none = np.full((3, 2), 0.5), np.full((3, 2), 0.7), np.full((3, 2), NAN)
    scores = {("random", 6): {0: low}, ("random", 12): {0: none}, ("local", 6): {0: high}, ("mixup", 6): {0: none}}
    rows = {row[0]: row[2:4] for row in saving_table(read_entries(tables(scores)), "random").rows if row[1] == "6"}
    assert rows == {"random": ["6.0", "0.0"], "local": ["more than 6", "more than 0"], "mixup": ["", ""]}
