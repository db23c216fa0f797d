"""The command goes through its rows, prints them and keeps them."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path

import pytest

from semicl_monai.apps import benchmark_builds as command
from semicl_monai.apps.benchmark_builds import benchmark_builds
from semicl_monai.benchmarks import Build, Measurement
from semicl_monai.utils import InputError


class FakeProber:
    """Takes 4 s in the old build and 1 s in the new one."""

    calls: list[tuple[str, str, int]]

    def __init__(self, folder):
        self.folder = folder

    def output_of(self, build, measurement):
        return self.folder

    def __call__(self, measurement, build, threads):
        self.calls.append((measurement.name, build.name, threads))
        if measurement.probe == "broken":
            raise InputError(f"{measurement.name} failed with the {build.name} build: reason")
        return {"s": 4.0 if build.name == "old" else 1.0}


@pytest.fixture
def calls(monkeypatch, tmp_path):
    @contextmanager
    def checked_out(commit):
        yield Build("old", tmp_path, f"full {commit}")

    rows = {
        "broken": lambda inputs: [Measurement("broken", "broken")],
        "time": lambda inputs: [Measurement("time", "training")],
        "count": lambda inputs: [Measurement("count", "cache", is_count=True)],
        "masks": lambda inputs: [Measurement("masks", "inference", output="output_dir")],
    }
    monkeypatch.setattr(command, "ROWS", rows)
    monkeypatch.setattr(command, "checked_out", checked_out)
    monkeypatch.setattr(command, "working_tree", lambda: Build("new", tmp_path, "mine+"))
    monkeypatch.setattr(command, "Prober", FakeProber)
    monkeypatch.setattr(command, "dice_of_masks", lambda old, new: 0.9995)
    monkeypatch.setattr(FakeProber, "calls", [], raising=False)
    return FakeProber.calls


def test_times_are_taken_in_turn_for_each_number_of_threads_and_counts_once(calls):
    benchmark_builds(rows=("time", "count"), threads=(1, 2), repeats=2)
    turn = ["old", "new", "new", "old"]
    first = [*(("time", name, 1) for name in turn), ("count", "old", 1), ("count", "new", 1)]
    assert calls == [*first, *(("time", name, 2) for name in turn)]


def test_the_numbers_are_printed_and_kept_with_where_they_are_from(calls, capsys, tmp_path):
    benchmark_builds("6ad835f", rows="time", threads=1, repeats=1, output_file=str(tmp_path / "results.json"))
    assert "| time | s        | 1       | 4   | 1   | 0.25      |" in capsys.readouterr().out
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["commits"] == {"old": "full 6ad835f", "new": "mine+"}
    assert {"torch", "monai", "processor", "date"} <= set(content)
    numbers = {"quantity": "s", "threads": 1, "old": [4.0], "new": [1.0], "ratio": 0.25}
    assert content["measurements"][0].items() >= numbers.items()


def test_masks_of_the_two_builds_are_compared(calls, capsys):
    benchmark_builds(rows="masks", threads=1, repeats=1)
    assert "| masks | Dice of the two masks | 1       | -   | 0.9995 | -         |" in capsys.readouterr().out


def test_a_failed_measurement_does_not_stop_the_others(calls, capsys):
    with pytest.raises(InputError, match=r"^1 measurements failed: broken failed with the old build: reason$"):
        benchmark_builds(rows=("broken", "time"), threads=1, repeats=1)
    assert "| time |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ("time", "tim")}, r"rows must be one of .*, got 'tim'"),
        ({"threads": (1, 0)}, r"^threads must be a whole number from 1, got 0\.$"),
        ({"repeats": "three"}, r"^repeats must be a whole number from 1, got 'three'\.$"),
        ({"weights": "/no/such/model.pt"}, r"^weights .*model\.pt does not exist\.$"),
    ],
)
def test_options_that_cannot_be_used_are_refused_first(calls, options, message):
    with pytest.raises(InputError, match=message):
        benchmark_builds(**{"rows": "time", **options})
    assert calls == []


def test_the_package_of_the_tests_is_measured_as_it_is():
    from semicl_monai.benchmarks.builds import CLONE  # noqa: PLC0415

    assert (CLONE / "semicl_monai" / "apps" / "benchmark_builds.py").resolve() == Path(command.__file__).resolve()
