"""Draw 2-D slices from a volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from semicl_monai.utils import InputError, KeptVolumeTrait, foreground_of, random_round, unpack_volume, untracked


class RandSlicesd(Randomizable, MapTransform, KeptVolumeTrait):
    """Draw slices of a volume; with a label map, a share of them holds foreground.

    The other slices are drawn from the whole volume, so that empty slices are drawn too, as negatives. Slices in which
    no voxel is annotated (>= 0) are not drawn, unless the volume has no others. Without a label map, all slices are
    drawn from the whole volume. Slices with foreground and other slices are two separate draws. One draw takes a slice
    twice only if there are too few slices. Both draws may take the same slice.

    Args:
        keys: maps of shape ``(C, H, W, D)``. All are sliced at the same place.
        axis: spatial axis to slice along, 0, 1 or 2.
        num_samples: number of slices to draw from a volume.
        label_key: label map with the foreground (> 0). It may be missing in a sample. With ``None``, none is used.
        foreground: share of slices that are drawn from those with foreground, 0 to 1. If the share of ``num_samples``
            is not a whole number, it is rounded up or down at random. It has no effect if the volume has no foreground.
        allow_missing_keys: whether keys may be missing in a sample.

    Returns:
        A list of ``num_samples`` samples whose maps have shape ``(C, H, W)``. Other entries of the sample are kept.
        ``place`` is the number of the slice, counted from 0. ``num_places`` is the number of slices of the volume.

    Raises:
        InputError: When ``axis``, ``num_samples`` or ``foreground`` is out of its range.

    Example:
        >>> draw = RandSlicesd("image", axis=2, num_samples=4).set_random_state(0)
        >>> [sample["image"].shape for sample in draw({"image": torch.zeros(1, 8, 8, 6)})][0]
        torch.Size([1, 8, 8])
    """

    axis: int

    def __init__(
        self,
        keys: KeysCollection,
        axis: int = 2,
        num_samples: int = 4,
        label_key: str | None = "label",
        foreground: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if axis not in (0, 1, 2):
            raise InputError(f"axis must be 0, 1 or 2, got {axis}.")
        if num_samples < 1:
            raise InputError(f"num_samples must be at least 1, got {num_samples}.")
        if not 0 <= foreground <= 1:
            raise InputError(f"foreground must be between 0 and 1, got {foreground}.")
        self.axis, self.num_samples, self.label_key, self.foreground = axis, num_samples, label_key, foreground
        self.indices: list[int] = []

    def randomize(self, data: Mapping[Hashable, torch.Tensor]) -> None:
        """Draw the slice indices for one sample."""
        index = foreground_of(data, self.label_key)
        occupied = np.flatnonzero(index["occupied"][self.axis]) if index else np.array([], dtype=int)
        annotated = np.flatnonzero(index["annotated"][self.axis]) if index else occupied
        share = random_round(self.foreground * self.num_samples, self.R) if len(occupied) else 0
        others = annotated if len(annotated) else np.arange(self._size(data))
        self.indices = [*self._draw(occupied, share), *self._draw(others, self.num_samples - share)]

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> list[dict[Hashable, Any]]:
        """Draw slices from ``data``."""
        self.randomize(data)
        num_places, slices = self._size(data), []
        for index in self.indices:
            sample = {**data, "place": index, "num_places": num_places}
            for key in self.key_iterator(data):
                sample[key] = untracked(data[key]).select(1 + self.axis, index).clone()
            slices.append(unpack_volume(sample))
        return slices

    def _size(self, data: Mapping[Hashable, torch.Tensor]) -> int:
        return data[self.first_key(dict(data))].shape[1 + self.axis]

    def _draw(self, candidates: np.ndarray, number: int) -> list[int]:
        return self.R.choice(candidates, number, replace=len(candidates) < number).tolist() if number else []
