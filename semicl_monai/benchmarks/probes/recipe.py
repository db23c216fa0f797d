"""Processor minutes of the 3-D recipe to its end, measured on a short run with the same course."""

from __future__ import annotations

from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

from monai.bundle import ConfigParser
from monai.engines import SupervisedEvaluator, SupervisedTrainer

from .tools import VOLUMES, Steps, Windows, config_of, main, open_config, watched


def measure(
    dataset_dir: str, epochs: int = 6, iterations: int = 3, labelled: int = 6, **overrides: Any
) -> dict[str, float]:
    """Return the processor seconds of a step in the first and the last epoch, of a validation, and of the whole recipe.

    The short run goes through the same course as the recipe: what depends on the epoch, such as the warm-up, takes the
    same share of the epochs. The mean over its epochs is multiplied by the number of steps that the recipe makes by
    default. Validations are added in the same way.

    Args:
        dataset_dir: the data set.
        epochs: epochs of the short run.
        iterations: steps of an epoch of the short run.
        labelled: number of labelled volumes.
        overrides: other options of the config.
    """
    config = config_of(VOLUMES, "train")
    options = {"dataset_dir": dataset_dir, "labelled_fraction": labelled, "method": "self_training"}
    options |= {"pretrained": "none", "bfloat16": False, **overrides}
    with TemporaryDirectory() as folder:
        steps, validations = _planned(str(config), {**options, "output_dir": folder})
    timer, windows = Steps(), Windows(stop_after=2)
    short = {"epochs": epochs, "iterations_per_epoch": iterations, "val_interval": epochs}
    engines = watched(SupervisedTrainer, timer.attach), watched(SupervisedEvaluator, windows.attach)
    with engines[0], engines[1], TemporaryDirectory() as folder:
        workflow = open_config(config, {**options, "output_dir": folder, **short})
        workflow.run()
        workflow.finalize()
    per_epoch, validation = timer.per_epoch(), windows.seconds[1] / windows.volumes * windows.planned
    return {
        "first epoch: step CPU s": per_epoch[0],
        "last epoch: step CPU s": per_epoch[-1],
        "one validation CPU s": validation,
        "training CPU minutes": mean(per_epoch) * steps / 60,
        "whole recipe CPU minutes": (mean(per_epoch) * steps + validation * validations) / 60,
    }


def _planned(config: str, options: dict[str, Any]) -> tuple[int, float]:
    """Return the numbers of steps and of validations with the defaults of the config."""
    parser = ConfigParser()
    parser.read_config(config)
    parser.update(options)
    state = parser.get_parsed_content("train::trainer").state
    return state.max_epochs * state.epoch_length, state.max_epochs / parser.get_parsed_content("val_interval")


if __name__ == "__main__":
    main(measure)
