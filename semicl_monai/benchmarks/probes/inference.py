"""Seconds and memory of segmenting one image with the 3-D bundle."""

from __future__ import annotations

from typing import Any

from monai.engines import SupervisedEvaluator

from .tools import VOLUMES, Windows, config_of, elapsed, main, open_config, peak_mib, watched


def measure(dataset_dir: str, weights: str, output_dir: str, **overrides: Any) -> dict[str, float]:
    """Return seconds, peak memory and number of windows, and write the mask.

    Args:
        dataset_dir: folder of the image.
        weights: weights of the network.
        output_dir: folder for the mask.
        overrides: other options of the config.
    """
    options = {"dataset_dir": dataset_dir, "weights": weights, "output_dir": output_dir, "bfloat16": False, **overrides}
    windows = Windows()
    with watched(SupervisedEvaluator, windows.attach):
        workflow = open_config(config_of(VOLUMES, "inference"), options, kind="infer")
        wall, cpu = elapsed(workflow.run)
        workflow.finalize()
    return {"s": wall, "CPU s": cpu, "peak MiB": peak_mib(), "windows": windows.windows}


if __name__ == "__main__":
    main(measure)
