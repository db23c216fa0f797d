"""Memory of a prepared training volume."""

from __future__ import annotations

from collections.abc import Mapping
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from .tools import VOLUMES, config_of, main, open_config


def measure(dataset_dir: str, bundle: str = VOLUMES, **overrides: Any) -> dict[str, float]:
    """Return the MiB of all that is kept of the labelled training volumes, divided by their number.

    Args:
        dataset_dir: the data set.
        bundle: name of the bundle.
        overrides: other options of the config.
    """
    with TemporaryDirectory() as folder:
        options: dict[str, Any] = {
            "dataset_dir": dataset_dir,
            "output_dir": folder,
            "method": "random",
            "pretrained": "none",
        }
        options |= {"labelled_fraction": 2, "validation": "none", **overrides}
        dataset = open_config(config_of(bundle, "train"), options).parser.get_parsed_content("train::dataset")
        dataset.prepare()
        return {"MiB a volume": sum(map(num_bytes, dataset._cache)) / len(dataset) / 2**20}


def num_bytes(kept: Any) -> int:
    """Return the number of bytes of all arrays in a sample."""
    if isinstance(kept, torch.Tensor | np.ndarray):
        return int(kept.nbytes)
    if isinstance(kept, Mapping):
        return sum(map(num_bytes, kept.values()))
    if isinstance(kept, list | tuple):
        return sum(map(num_bytes, kept))
    return len(kept) if isinstance(kept, bytes) else num_bytes(vars(kept)) if hasattr(kept, "__dict__") else 0


if __name__ == "__main__":
    main(measure)
