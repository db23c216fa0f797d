"""Seconds of a training step, next to those of the bare network with the same batch."""

from __future__ import annotations

from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import torch
from monai.engines import SupervisedTrainer
from torch import nn

from .tools import SLICES, Steps, config_of, main, open_config, watched  # copied out of the package


def measure(
    dataset_dir: str, stage: str, method: str, bundle: str = SLICES, steps: int = 24, **overrides: Any
) -> dict[str, float]:
    """Return seconds of a step with the defaults of the bundle, of the bare network, and its share of the step.

    Args:
        dataset_dir: the data set.
        stage: ``"pretrain"`` or ``"train"``.
        method: name of the method.
        bundle: name of the bundle, or its absolute folder.
        steps: number of steps; the first third is not counted.
        overrides: other options of the config.
    """
    timer = Steps(stop_after=steps)
    with TemporaryDirectory() as folder, watched(SupervisedTrainer, timer.attach):
        options = {"dataset_dir": dataset_dir, "output_dir": folder, "method": method, "pretrained": "none"}
        options |= {"validation": "none", "bfloat16": False, **overrides}
        run_id = "run" if stage == "train" else stage
        workflow = open_config(config_of(bundle, stage), options, run_id)
        workflow.run()
        workflow.finalize()
    wall, cpu = timer.per_step()
    bare = bare_seconds(timer.trainer, timer.batch)
    return {"step s": wall, "step CPU s": cpu, "bare network s": bare, "share of the bare rate": bare / wall}


def bare_seconds(trainer: Any, batch: Any, repeats: int = 9) -> float:
    """Return the seconds of the forward and backward passes of a step, without head, loss, data and optimiser."""
    inputs, _, *others = trainer.prepare_batch(batch, trainer.state.device, trainer.non_blocking)
    images = (inputs, *(others[0] if others else ()))
    seconds = []
    for _ in range(repeats + 2):
        trainer.network.zero_grad(set_to_none=True)
        start = perf_counter()
        _pass(trainer.network, images).backward()
        seconds.append(perf_counter() - start)
    return median(seconds[2:])


def _pass(model: nn.Module, images: tuple[torch.Tensor, ...]) -> torch.Tensor:
    if hasattr(model, "maps"):  # a network with a head on one of its maps
        return torch.stack([features.mean() for features in model.maps(*images)]).sum()
    output: torch.Tensor = model(images[0])
    return output.mean()


if __name__ == "__main__":
    main(measure)
