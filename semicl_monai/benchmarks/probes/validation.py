"""Windows and seconds of a validation volume in 3-D training."""

from __future__ import annotations

from tempfile import TemporaryDirectory
from typing import Any

from monai.engines import SupervisedEvaluator

from .tools import VOLUMES, Windows, config_of, main, open_config, watched


def measure(dataset_dir: str, volumes: int = 4, **overrides: Any) -> dict[str, float]:
    """Return the number of windows and the seconds of a volume in the first validation with ``--validation best``.

    Args:
        dataset_dir: the data set.
        volumes: number of volumes to validate.
        overrides: other options of the config.
    """
    windows = Windows(stop_after=volumes)
    with TemporaryDirectory() as folder, watched(SupervisedEvaluator, windows.attach):
        options: dict[str, Any] = {
            "dataset_dir": dataset_dir,
            "output_dir": folder,
            "method": "random",
            "pretrained": "none",
        }
        options |= {"labelled_fraction": 2, "validation": "best", "bfloat16": False}
        options |= {"epochs": 1, "iterations_per_epoch": 1, "val_interval": 1, **overrides}
        workflow = open_config(config_of(VOLUMES, "train"), options)
        workflow.run()
        workflow.finalize()
    numbers = {"windows": windows.windows, "s": windows.seconds[0], "CPU s": windows.seconds[1]}
    return {f"{name} a volume": number / windows.volumes for name, number in numbers.items()}


if __name__ == "__main__":
    main(measure)
