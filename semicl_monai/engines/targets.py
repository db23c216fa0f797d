"""What a batch of slices tells about where they come from."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import torch


def slice_of_volume(batchdata: dict[str, Any]) -> torch.Tensor:
    """Return which volume each image of a batch is a slice of, which slice of it, and of how many: ``(B, 3)``.

    A volume's number is made of its case name and therefore the same on every rank and in every run.

    Args:
        batchdata: a collated batch with ``case``, and ``slice`` and ``num_slices`` as
            :class:`semicl_monai.transforms.RandSlicesd` gives them.
    """
    volume = torch.tensor([_number(case) for case in batchdata["case"]])
    return torch.stack([volume, batchdata["slice"], batchdata["num_slices"]], dim=1)


def image_number(batchdata: dict[str, Any]) -> torch.Tensor:
    """Return a number for each image of a batch ``(B,)``, the same whenever the same slice is drawn.

    Args:
        batchdata: as for :func:`slice_of_volume`.
    """
    names = zip(batchdata["case"], batchdata["slice"].tolist(), strict=True)
    return torch.tensor([_number(f"{case}/{index}") for case, index in names])


def _number(name: str) -> int:
    # 63 bits: two of a million names are equal once in ten million data sets
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
