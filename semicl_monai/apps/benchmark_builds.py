"""Benchmark of the working tree against an older commit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from semicl_monai.benchmarks import (
    ROWS,
    Build,
    Comparison,
    Inputs,
    Measurement,
    Prober,
    checked_out,
    compare,
    describe_machine,
    dice_of_masks,
    table,
    working_tree,
)
from semicl_monai.utils import InputError, one_of, save_json


def benchmark_builds(
    commit: str = "6ad835f",
    rows: str | Sequence[str] = tuple(ROWS),
    threads: int | Sequence[int] = (1, 2),
    repeats: int = 3,
    dataset_dir: str | None = None,
    cardiac_dir: str | None = None,
    weights: str | None = None,
    image: str | None = None,
    output_file: str | None = None,
) -> None:
    """Measure an older commit and the working tree in turn, and print the medians and their ratios.

    Both builds run the same probes on the same data, with the same Python. Each measurement has its own process. All
    rows with the defaults take an hour or two. Rows of seconds have a second line of processor seconds, which other
    programs on the machine disturb less.

    Args:
        commit: the older commit, or a branch or tag. It is written to a temporary folder.
        rows: rows to measure: ``training`` (a step in 2-D, next to the bare network), ``new_bundle`` (the whole default
            job for slices of 256 x 224), ``recipe`` (3-D, processor minutes to the end), ``loss``, ``inference``,
            ``validation`` (windows a volume), ``cache`` (memory of a volume), ``drawing`` (a patch or slice of a large
            volume) and ``help``.
        threads: numbers of threads of torch.
        repeats: number of turns. Counts are taken once.
        dataset_dir: data set of the hippocampus bundles. The default is a set of small synthetic volumes.
        cardiac_dir: data set for ``new_bundle``. The default is a set of synthetic volumes.
        weights: trained weights of the 3-D bundle for ``inference``. By default, they are untrained.
        image: image for ``inference``. The default is noise of 256 x 256 x 200 voxels.
        output_file: JSON file for all numbers, with commits, versions, processor and date. It is written after every
            measurement.

    Raises:
        InputError: When an option cannot be used, when the package is not in a git clone or the commit is unknown, or
            when a probe fails. The other measurements are made first.
    """
    chosen = [one_of(row, tuple(ROWS), "rows") for row in _sequence(rows)]
    counts = [_positive("threads", number) for number in _sequence(threads)]
    turns = _positive("repeats", repeats)
    given = {"dataset_dir": dataset_dir, "cardiac_dir": cardiac_dir, "weights": weights, "image": image}
    with TemporaryDirectory(prefix="semicl_benchmark_") as folder, checked_out(str(commit)) as old:
        builds = (old, working_tree())
        inputs = Inputs(Path(folder), old, **given)
        measurements = [each for row in chosen for each in ROWS[row](inputs)]
        _Run(builds, Prober(Path(folder)), output_file).measure(measurements, counts, turns)


class _Run:
    """The measurements made so far."""

    def __init__(self, builds: tuple[Build, Build], prober: Prober, output_file: str | None) -> None:
        self.builds, self.prober, self.output_file = builds, prober, output_file
        self.machine = describe_machine()
        self.comparisons: list[Comparison] = []
        self.errors: list[str] = []

    def measure(self, measurements: Sequence[Measurement], threads: Sequence[int], repeats: int) -> None:
        """Make all measurements, print the table, and raise an error if some failed."""
        for number, count in enumerate(threads):
            for each in measurements:
                if not (each.is_count and number):
                    self._measure(each, count, 1 if each.is_count else repeats)
        print(f"\n{self.builds[0].commit} (old), {self.builds[1].commit} (new); {self.machine}\n")
        print(table(self.comparisons))
        if self.errors:
            raise InputError(f"{len(self.errors)} measurements failed: {'; '.join(self.errors)}")

    def _measure(self, measurement: Measurement, threads: int, repeats: int) -> None:
        try:
            found = compare(measurement, self.builds, self.prober, threads, repeats)
        except InputError as error:  # the other measurements of a long run are still wanted
            self.errors.append(str(error))
            print(f"{error}\n", flush=True)
            return
        found += self._agreement(measurement, threads)
        self.comparisons += found
        print(f"{table(found)}\n", flush=True)
        if self.output_file is not None:
            save_json(self._content(), self.output_file, "give another --output_file")

    def _agreement(self, measurement: Measurement, threads: int) -> list[Comparison]:
        if not measurement.output:
            return []
        dice = dice_of_masks(*(self.prober.output_of(build, measurement) for build in self.builds))
        return [Comparison(measurement.name, "Dice of the two masks", threads, [None], [dice])]

    def _content(self) -> dict[str, Any]:
        numbers = [
            {**vars(each), "old_median": each.old_median, "new_median": each.new_median, "ratio": each.ratio}
            for each in self.comparisons
        ]
        commits = {build.name: build.commit for build in self.builds}
        return {"commits": commits, **self.machine, "measurements": numbers}


def _sequence(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _positive(option: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{option} must be a whole number from 1, got {value!r}.")
    return value
