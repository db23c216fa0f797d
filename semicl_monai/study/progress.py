"""Messages of a running study."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import mean

from semicl_monai.study.grid import Cell, Step
from semicl_monai.study.results import read_summary, write_results
from semicl_monai.study.runner import Record, Runner


class Progress:
    """Print each finished step with an estimate of the remaining time, and update the tables.

    Args:
        output_dir: folder of the study.
        cells: cells of the study.
        runner: runner of the cells.
    """

    def __init__(self, output_dir: Path, cells: Sequence[Cell], runner: Runner) -> None:
        self.output_dir, self.cells, self.runner = output_dir, cells, runner
        self.told: set[tuple[str, str]] = set()
        self.steps = {step.key: step for cell in cells for step in cell.last.chain()}

    def begin(self) -> None:
        """Print the number of steps, if any is left. Steps of an earlier run give an estimate of the time."""
        finished, left = sum(key in self.runner.records for key in self.steps), self.seconds_left()
        if finished == len(self.steps):
            return
        rest = f"; about {_time(left)} left" if left else ""
        print(f"[{finished}/{len(self.steps)}] {self.runner.workers} at a time{rest}", flush=True)

    def __call__(self, step: Step, record: Record) -> None:
        finished, left = sum(key in self.runner.records for key in self.steps), self.seconds_left()
        took = "" if record.seconds is None else f" in {_time(record.seconds)}"
        rest = f"; about {_time(left)} left" if left else ""
        print(
            f"[{finished}/{len(self.steps)}] {step.folder}, {step.stage}: {self._outcome(step, record)}{took}{rest}",
            flush=True,
        )
        if step.stage == "evaluate" or record.state != "done":
            write_results(self.output_dir, self.cells, self.runner)

    def watch(self, step: Step, log: str) -> None:
        """Print the time that a running step will take, as soon as its log has it (see ``EpochProgress``)."""
        for line in re.findall(r" INFO \S+: (.+: .+, about .+ s each.*\)\.)$", log, re.MULTILINE):
            if (step.key, line) not in self.told:
                self.told.add((step.key, line))
                print(f"{step.folder}, {line}", flush=True)

    def _outcome(self, step: Step, record: Record) -> str:
        if record.state != "done":
            return f"{record.state.upper()}, {record.error}"
        if step.stage != "evaluate":
            return "done"
        summary = read_summary(self.runner.place(step) / "eval" / "evaluate")
        return f"mean Dice {summary['classes']['mean']['dice']['mean']:.3f}"

    def seconds_left(self) -> float:
        """Return an estimate of the remaining seconds.

        The estimate for a step is the mean time of finished steps with the same stage, method and sampler. If there are
        none, it is the mean over the stage. If there are none either, it is the mean over all steps.
        """
        seconds: dict[object, list[float]] = defaultdict(list)
        for key, step in self.steps.items():
            record = self.runner.records.get(key)
            if record is not None and record.state == "done" and record.seconds is not None:
                for kind in _kinds(step):
                    seconds[kind].append(record.seconds)
        left = [step for key, step in self.steps.items() if key not in self.runner.records]
        expected = (next((mean(seconds[kind]) for kind in _kinds(step) if seconds[kind]), 0.0) for step in left)
        return sum(expected) / self.runner.workers


def _kinds(step: Step) -> list[object]:
    """Return the groups of similar steps that a step belongs to, the most similar first."""
    return [(step.stage, step.options.get("method"), step.options.get("pixel_sampler")), step.stage, "any"]


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
