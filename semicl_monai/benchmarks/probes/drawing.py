"""Milliseconds to draw one patch or slice from a large prepared volume."""

from __future__ import annotations

from functools import partial
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from .tools import clock, config_of, elapsed, main, medians, open_config, since


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
        options: dict[str, Any] = {
            "dataset_dir": folder,
            "output_dir": folder,
            "method": "random",
            "pretrained": "none",
        }
        options |= {"samples_per_volume": 1, "train::dataset::data": [{"image": image, "label": label}], **overrides}
        parser = open_config(config_of(bundle, "train"), options).parser
        dataset, kind = parser.get_parsed_content("train::dataset"), type(parser.get_parsed_content("draw"))
        prepared, call = elapsed(dataset.prepare), kind.__call__
        drawn: list[tuple[float, float]] = []

        def timed(draw: Any, data: Any) -> Any:
            start = clock()
            samples = call(draw, data)
            drawn.append(since(start))
            return samples

        with patch.object(kind, "__call__", timed):
            wholes = [elapsed(partial(dataset.__getitem__, (0, seed))) for seed in range(draws + 1)]
    numbers = (*(1000 * s for s in medians(drawn[1:])), *(1000 * s for s in medians(wholes[1:])), *prepared)
    names = ("draw ms", "draw CPU ms", "sample ms", "sample CPU ms", "preparation s", "preparation CPU s")
    return dict(zip(names, numbers, strict=True))


if __name__ == "__main__":
    main(measure)
