"""Slices beside a slice, as channels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform

from semicl_monai.utils import InputError


class NeighbouringSlicesd(MapTransform):
    """Add the slices on both sides of each slice as channels, so that a 2-D network sees what is above and below.

    The channels of the image come first, then those shifted by one slice, back and forth, then by two, and so on. The
    first and last slice are repeated beyond the ends of the volume.

    Args:
        keys: images ``(C, H, W, D)``. They become ``(C * (1 + 2 * number), H, W, D)``.
        axis: spatial axis across which slices are taken, 0, 1 or 2.
        number: slices on each side.
        allow_missing_keys: whether keys may be missing in a sample.

    Raises:
        InputError: When ``axis`` or ``number`` is out of its range.

    Example:
        >>> slices = torch.arange(3.0).view(1, 1, 1, 3)
        >>> NeighbouringSlicesd("image")({"image": slices})["image"].squeeze()
        tensor([[0., 1., 2.],
                [0., 0., 1.],
                [1., 2., 2.]])
    """

    def __init__(self, keys: KeysCollection, axis: int = 2, number: int = 1, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if axis not in (0, 1, 2):
            raise InputError(f"axis must be 0, 1 or 2, got {axis}.")
        if number < 0:
            raise InputError(f"number of neighbouring slices must be at least 0, got {number}.")
        self.axis, self.number = axis, number

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with more channels in its images."""
        found = dict(data)
        for key in self.key_iterator(found):
            found[key] = self._with_neighbours(found[key])
        return found

    def _with_neighbours(self, image: torch.Tensor) -> torch.Tensor:
        axis, count = 1 + self.axis, image.shape[1 + self.axis]
        places = torch.arange(count)
        steps = [0, *(sign * step for step in range(1, 1 + self.number) for sign in (-1, 1))]
        return torch.cat([image.index_select(axis, (places + step).clamp(0, count - 1)) for step in steps])
