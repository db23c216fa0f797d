"""What a batch of slices or patches tells about where they come from."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import torch

from semicl_monai.losses import Places


def place_in_volume(batchdata: dict[str, Any]) -> Places:
    """Return where each image of a batch is from.

    A volume's number is made of its case name and therefore the same on every rank and in every run.

    Args:
        batchdata: a collated batch with ``case``, and ``place`` and ``num_places`` as
            :class:`semicl_monai.transforms.RandSlicesd` gives them, of one axis, or
            :class:`semicl_monai.transforms.RandPatchesd`, of three.
    """
    volume = torch.tensor([_number(case) for case in batchdata["case"]])
    place, num_places = (batchdata[key].reshape(len(volume), -1) for key in ("place", "num_places"))
    return Places(volume, place, num_places)


def image_number(batchdata: dict[str, Any]) -> torch.Tensor:
    """Return a number for each image of a batch ``(B,)``, the same whenever the same slice or patch is drawn.

    Args:
        batchdata: as for :func:`place_in_volume`.
    """
    names = zip(batchdata["case"], batchdata["place"].tolist(), strict=True)
    return torch.tensor([_number(f"{case}/{index}") for case, index in names])


def _number(name: str) -> int:
    # 63 bits: two of a million names are equal once in ten million data sets
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
