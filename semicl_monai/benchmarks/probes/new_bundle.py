"""Minutes of the whole default job of a new bundle: a few steps of each stage, times the steps it would make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monai.engines import SupervisedTrainer

from .tools import Steps, main, open_config, watched

NAME = "heart_mri_segmentation"


def measure(dataset_dir: str, steps: int = 3, **overrides: Any) -> dict[str, float]:
    """Return the seconds of a step of each stage, and the minutes of all stages together.

    The commands are those that ``new_bundle`` prints, with no option but ``bfloat16``. Each trainer is stopped after a
    few steps.

    Args:
        dataset_dir: the data set.
        steps: number of steps of each trainer.
        overrides: other options of the configs.
    """
    numbers: dict[str, float] = {}
    minutes = cpu_minutes = 0.0
    with TemporaryDirectory() as folder:
        words = ["new_bundle", NAME, "--dataset_dir", dataset_dir, "--folder", folder]
        subprocess.run([sys.executable, "-m", "semicl_monai", *words], check=True, stdout=subprocess.DEVNULL)
        for stage in ("pretrain", "train"):
            config = Path(folder, NAME, "configs", f"{stage}.json")
            for number, timer in enumerate(_run(config, stage, steps, {"bfloat16": False, **overrides}), 1):
                wall, cpu = timer.per_step()
                numbers |= {f"{stage} {number}: step s": wall, f"{stage} {number}: step CPU s": cpu}
                minutes, cpu_minutes = minutes + wall * timer.planned / 60, cpu_minutes + cpu * timer.planned / 60
    return {**numbers, "whole job minutes": minutes, "whole job CPU minutes": cpu_minutes}


def _run(config: Path, stage: str, steps: int, options: dict[str, Any]) -> list[Steps]:
    timers: list[Steps] = []

    def watch(trainer: Any) -> None:
        timers.append(Steps(stop_after=steps))
        timers[-1].attach(trainer)

    with watched(SupervisedTrainer, watch):
        workflow = open_config(config, options, "run" if stage == "train" else stage)
        workflow.run()
        workflow.finalize()
    return timers


if __name__ == "__main__":
    main(measure)
