"""Two builds are measured in turn and compared by medians."""

from __future__ import annotations

from pathlib import Path

import pytest

from semicl_monai.benchmarks import Build, Comparison, Measurement, compare, table

BUILDS = (Build("old", Path("a"), "1"), Build("new", Path("b"), "2"))


def run(old, new, repeats=3):
    """Compare builds that give these numbers, and return the order too."""
    order, numbers = [], {"old": iter(old), "new": iter(new)}

    def probe(measurement, build, threads):
        order.append((build.name, threads))
        return next(numbers[build.name])

    return compare(Measurement("step", "training"), BUILDS, probe, threads=2, repeats=repeats), order


def test_the_builds_take_turns_and_each_begins_in_turn():
    _, order = run([{"s": 1.0}] * 3, [{"s": 1.0}] * 3)
    assert order == [(name, 2) for name in ("old", "new", "new", "old", "old", "new")]


def test_medians_and_the_median_of_the_ratios_of_the_turns():
    (found,), _ = run([{"s": 1.0}, {"s": 8.0}, {"s": 4.0}], [{"s": 2.0}, {"s": 2.0}, {"s": 1.0}])
    assert (found.old_median, found.new_median) == (4.0, 2.0)
    assert found.ratio == 0.25  # of 2, 0.25, 0.25; the ratio of the medians is 0.5


def test_a_quantity_of_one_build_has_no_ratio():
    found, _ = run([{"s": 1.0}], [{"s": 3.0, "first stage s": 2.0}], repeats=1)
    assert [each.ratio for each in found] == [3.0, None]
    assert (found[1].old_median, found[1].new_median) == (None, 2.0)


def test_the_table_has_a_line_for_each_quantity():
    lines = table([Comparison("step", "s", 2, [2.0], [1.0]), Comparison("step", "Dice", 2, [None], [0.99951])])
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines.splitlines()]
    assert cells[0] == ["what", "quantity", "threads", "old", "new", "new / old"]
    assert cells[2:] == [["step", "s", "2", "2", "1", "0.5"], ["step", "Dice", "2", "-", "0.9995", "-"]]


@pytest.mark.parametrize(("old", "new"), [(0.0, 1.0), (0.0, 0.0)])
def test_nothing_is_divided_by_zero(old, new):
    assert Comparison("cache", "MiB", 1, [old], [new]).ratio is None
