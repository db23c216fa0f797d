"""Seconds of a training step, next to those of the bare network with the same batch."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

import torch
from monai.engines import SupervisedTrainer

from .tools import SLICES, Steps, config_of, elapsed, main, medians, open_config, watched


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
        options: dict[str, Any] = {
            "dataset_dir": dataset_dir,
            "output_dir": folder,
            "method": method,
            "pretrained": "none",
        }
        options |= {"validation": "none", "bfloat16": False, **overrides}
        run_id = "run" if stage == "train" else stage
        workflow = open_config(config_of(bundle, stage), options, run_id)
        workflow.run()
        workflow.finalize()
    step, bare = timer.per_step(), bare_seconds(timer.trainer, timer.batch)
    shares = [theirs / ours for ours, theirs in zip(step, bare, strict=True)]
    names = ("step s", "step CPU s", "bare network s", "bare network CPU s", "bare / step", "bare / step by CPU")
    return dict(zip(names, (*step, *bare, *shares), strict=True))


def bare_seconds(trainer: Any, batch: Any, repeats: int = 9) -> tuple[float, float]:
    """Return the seconds of the network alone: no head, no loss, no data, no optimiser."""
    inputs, _, *others = trainer.prepare_batch(batch, trainer.state.device, trainer.non_blocking)
    images = (inputs, *(others[0] if others else ()))

    def run() -> None:
        trainer.network.zero_grad(set_to_none=True)
        _pass(trainer.network, images).backward()

    return medians([elapsed(run) for _ in range(repeats + 2)][2:])


def _pass(model: Any, images: tuple[torch.Tensor, ...]) -> torch.Tensor:
    if hasattr(model, "maps"):  # a network with a head on one of its maps
        return torch.stack([features.mean() for features in model.maps(*images)]).sum()
    output: torch.Tensor = model(images[0])
    return output.mean()


if __name__ == "__main__":
    main(measure)
