"""The comparison of two builds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from semicl_monai.benchmarks.builds import Build
from semicl_monai.benchmarks.measurement import Measurement
from semicl_monai.utils import markdown_table

Probe = Callable[[Measurement, Build, int], dict[str, float]]


@dataclass(frozen=True)
class Comparison:
    """The numbers of one quantity.

    Args:
        measurement: name of the measurement.
        quantity: what was measured, with its unit.
        threads: number of threads.
        old: numbers of the old build, one a turn.
        new: numbers of the new build, one a turn.
    """

    measurement: str
    quantity: str
    threads: int
    old: list[float | None]
    new: list[float | None]

    @property
    def old_median(self) -> float | None:
        """Median of the old build."""
        return _median(self.old)

    @property
    def new_median(self) -> float | None:
        """Median of the new build."""
        return _median(self.new)

    @property
    def ratio(self) -> float | None:
        """Median of the ratios of the turns, new to old."""
        turns = zip(self.old, self.new, strict=True)
        return _median([new / old if old and new is not None else None for old, new in turns])


def compare(
    measurement: Measurement, builds: Sequence[Build], probe: Probe, threads: int, repeats: int
) -> list[Comparison]:
    """Measure two builds in turn: old, new, new, old, old, new and so on, so that a slow drift of the machine cancels.

    Args:
        measurement: what to measure.
        builds: the old and the new build.
        probe: makes one measurement.
        threads: number of threads.
        repeats: number of turns.

    Returns:
        One comparison for each quantity of either build.
    """
    found: dict[str, list[dict[str, float]]] = {build.name: [] for build in builds}
    for turn in range(repeats):
        for build in builds if turn % 2 == 0 else reversed(builds):
            found[build.name].append(probe(measurement, build, threads))
    old, new = (found[build.name] for build in builds)
    quantities = dict.fromkeys(quantity for numbers in (*old, *new) for quantity in numbers)
    return [
        Comparison(measurement.name, each, threads, [turn.get(each) for turn in old], [turn.get(each) for turn in new])
        for each in quantities
    ]


def table(comparisons: Sequence[Comparison]) -> str:
    """Return a table of medians and ratios, in Markdown."""
    rows = [
        [
            each.measurement,
            each.quantity,
            str(each.threads),
            *map(_cell, (each.old_median, each.new_median, each.ratio)),
        ]
        for each in comparisons
    ]
    return markdown_table(["what", "quantity", "threads", "old", "new", "new / old"], rows, aligned=True)


def _median(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return median(known) if known else None


def _cell(number: float | None) -> str:
    return "-" if number is None else f"{number:.4g}"
