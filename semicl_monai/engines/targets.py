"""Targets from the places of slices or patches in their volumes."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import torch

from semicl_monai.losses import Places


def place_in_volume(batchdata: dict[str, Any]) -> Places:
    """Return the volume and the place of each image of a batch.

    The number of a volume follows from its case name. It is therefore the same on every rank and in every run.

    Args:
        batchdata: a collated batch with ``case``, ``place`` and ``num_places``. The last two come from
            :class:`semicl_monai.transforms.RandSlicesd` (one axis) or :class:`semicl_monai.transforms.RandPatchesd`
            (three axes).
    """
    volume = torch.tensor([_number(case) for case in batchdata["case"]])
    place, num_places = (batchdata[key].reshape(len(volume), -1) for key in ("place", "num_places"))
    return Places(volume, place, num_places)


def image_number(batchdata: dict[str, Any]) -> torch.Tensor:
    """Return a number for each image of a batch ``(B,)``. The same slice or patch always has the same number.

    Args:
        batchdata: as for :func:`place_in_volume`.
    """
    names = zip(batchdata["case"], batchdata["place"].tolist(), strict=True)
    return torch.tensor([_number(f"{case}/{index}") for case, index in names])


def _number(name: str) -> int:
    # 63 bits: of ten million data sets with a million names each, one has two names with the same number
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
