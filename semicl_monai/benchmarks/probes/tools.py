"""Parts that the probes share."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any
from unittest.mock import patch

import torch
from ignite.engine import Engine, Events
from monai.bundle import ConfigWorkflow

import semicl_monai

TREE = Path(semicl_monai.__file__).resolve().parents[1]
MAXRSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10
SLICES, VOLUMES = "hippocampus_mri_segmentation", "hippocampus_mri_3d_segmentation"


def main(measure: Callable[..., Mapping[str, float]]) -> None:
    """Measure with the options of the command line, and print the numbers as the last line, in JSON.

    Args:
        measure: the probe. The first word of the command line is the build, the second one holds the options in JSON.
    """
    tree, options = sys.argv[1:]
    if Path(tree).resolve() != TREE:  # such as an installed package that hides the build
        sys.exit(f"wanted the build in {tree}, got {TREE}")
    print(json.dumps(measure(**json.loads(options))))


def config_of(bundle: str, stage: str) -> Path:
    """Return a config of a bundle of the build, or of a bundle in another folder."""
    return TREE / "bundles" / bundle / "configs" / f"{stage}.json"


def open_config(config: Path, options: Mapping[str, Any], run_id: str = "run", kind: str = "train") -> ConfigWorkflow:
    """Return the initialised workflow of a config."""
    workflow = ConfigWorkflow(str(config), run_id=run_id, logging_file=False, workflow_type=kind, **options)
    workflow.initialize()
    return workflow


@contextmanager
def watched(kind: type[Engine], watch: Callable[[Any], None]) -> Iterator[None]:
    """Call ``watch`` with every engine of a class before it runs, also with engines that a config builds later."""
    original = kind.run

    def run(engine: Any, *args: Any, **options: Any) -> Any:
        watch(engine)
        return original(engine, *args, **options)

    with patch.object(kind, "run", run):
        yield


def clock() -> tuple[float, float]:
    """Return wall and processor seconds. Other programs on the machine disturb the second one less."""
    return perf_counter(), process_time()


def elapsed(run: Callable[[], Any]) -> tuple[float, float]:
    """Return the wall and processor seconds of a call."""
    start = clock()
    run()
    return since(start)


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Return the wall and processor seconds since a return value of :func:`clock`."""
    wall, cpu = clock()
    return wall - start[0], cpu - start[1]


def medians(turns: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return the medians of wall and processor seconds."""
    wall, cpu = zip(*turns, strict=True)
    return median(wall), median(cpu)


def peak_mib() -> float:
    """Return the largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MAXRSS_PER_MIB


class Steps:
    """Wall and processor seconds of the steps of a trainer.

    Args:
        stop_after: number of steps after which the trainer is stopped; ``None`` for never. The data is then still drawn
            ahead, so that no step is cheaper than one in the middle of an epoch.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.epochs: list[list[tuple[float, float]]] = []
        self.batch: Any = None
        self.trainer: Any = None

    def attach(self, engine: Any) -> None:
        """Attach to a trainer."""
        self.trainer = engine
        engine.add_event_handler(Events.EPOCH_STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_STARTED, self._keep_batch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)

    def _start(self, engine: Engine) -> None:
        self.epochs.append([clock()])

    def _keep_batch(self, engine: Engine) -> None:
        self.batch = engine.state.batch

    def _end(self, engine: Engine) -> None:
        self.epochs[-1].append(clock())
        if engine.state.iteration == self.stop_after:
            engine.terminate()

    @property
    def planned(self) -> int:
        """Number of steps that the trainer would make if it were not stopped."""
        return int(self.trainer.state.max_epochs * self.trainer.state.epoch_length)

    def per_step(self) -> tuple[float, float]:
        """Return the medians of wall and processor seconds, without the first third of the steps."""
        pairs = [pair for epoch in self.epochs for pair in pairwise(epoch)]
        steps = [(end[0] - start[0], end[1] - start[1]) for start, end in pairs]
        return medians(steps[-(-len(steps) // 3) :])

    def per_epoch(self) -> list[float]:
        """Return the processor seconds of a step for each epoch, with all data of the epoch."""
        return [(epoch[-1][1] - epoch[0][1]) / (len(epoch) - 1) for epoch in self.epochs]


class Windows:
    """Count the images or windows that pass a network during a validation or an inference, and its seconds.

    Args:
        stop_after: number of volumes after which the evaluator is stopped; ``None`` for never.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.windows = self.volumes = self.planned = 0
        self.start = self.seconds = (0.0, 0.0)

    def attach(self, engine: Any) -> None:
        """Attach to an evaluator."""
        hook = engine.network.register_forward_pre_hook(self._count)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._end)
        engine.add_event_handler(Events.COMPLETED, lambda _: hook.remove())

    def _count(self, network: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.windows += len(inputs[0])

    def _start(self, engine: Engine) -> None:
        self.start = clock()
        self.planned = int(engine.state.epoch_length or 0)

    def _end(self, engine: Engine) -> None:
        self.volumes += 1
        self.seconds = since(self.start)
        if self.volumes == self.stop_after:
            engine.terminate()
