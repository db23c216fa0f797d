"""Milliseconds to draw one patch or slice from a large prepared volume."""

from __future__ import annotations

from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from unittest.mock import patch

from .tools import config_of, main, open_config


def measure(image: str, label: str, bundle: str, draws: int = 7, **overrides: Any) -> dict[str, float]:
    """Return the milliseconds of a draw, the milliseconds of a whole sample, and the seconds of the preparation.

    A whole sample is drawn and augmented. The first one is not counted.

    Args:
        image: file of the image.
        label: file of its label map.
        bundle: name of the bundle.
        draws: number of samples.
        overrides: other options of the config.
    """
    with TemporaryDirectory() as folder:
        options = {"dataset_dir": folder, "output_dir": folder, "method": "random", "pretrained": "none"}
        options |= {"samples_per_volume": 1, "train::dataset::data": [{"image": image, "label": label}], **overrides}
        parser = open_config(config_of(bundle, "train"), options).parser
        dataset, kind = parser.get_parsed_content("train::dataset"), type(parser.get_parsed_content("draw"))
        start = perf_counter()
        dataset.prepare()
        prepared = perf_counter() - start
        milliseconds, wholes, call = [], [], kind.__call__

        def timed(draw: Any, data: Any) -> Any:
            start = perf_counter()
            samples = call(draw, data)
            milliseconds.append(1000 * (perf_counter() - start))
            return samples

        with patch.object(kind, "__call__", timed):
            for seed in range(draws + 1):
                start = perf_counter()
                dataset[0, seed]
                wholes.append(1000 * (perf_counter() - start))
    return {"draw ms": median(milliseconds[1:]), "sample ms": median(wholes[1:]), "preparation s": prepared}


if __name__ == "__main__":
    main(measure)
