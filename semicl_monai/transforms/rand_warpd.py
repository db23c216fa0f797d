"""Random affine maps and smooth deformations of samples."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep

from semicl_monai.transforms.rand_warp import RandWarp


class RandWarpd(Randomizable, MapTransform):
    """Flip, rotate, scale, shear, shift and deform the maps of a sample.

    It does what MONAI's ``RandFlipd``, ``RandAffined`` and ``RandSmoothDeformd`` do, in one resampling and less time.
    Values beyond the border of a map are zero. The maps lose their metadata.

    Args:
        keys: maps of shape ``(C, H, W[, D])``. All get the same warp.
        spatial_size: spatial size of the warped maps, by default that of the maps. If it is smaller, a margin of the
            image is moved inside in place of zeros.
        random_center: whether a smaller part is at a random place of the maps, as in
            :class:`monai.transforms.RandSpatialCropd`, or in their middle.
        mode: interpolation of each of ``keys``, ``"bilinear"`` or ``"nearest"``.
        allow_missing_keys: whether keys may be missing in a sample.
        amounts: amounts and probabilities, as for :class:`RandWarp`.

    Raises:
        InputError: When an amount is negative, or a probability is not between 0 and 1.

    Example:
        >>> warp = RandWarpd(["image", "label"], spatial_size=(8, 8), mode=["bilinear", "nearest"]).set_random_state(0)
        >>> warp({"image": torch.rand(1, 10, 10), "label": torch.ones(1, 10, 10)})["label"].shape
        torch.Size([1, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int] | None = None,
        random_center: bool = False,
        mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **amounts: Any,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.spatial_size, self.random_center = spatial_size, random_center
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.warp = RandWarp(**amounts)

    def randomize(self, data: torch.Tensor) -> None:
        """Draw the warps of maps ``(B, C, H, W[, D])``."""
        self.warp.generator = torch.Generator().manual_seed(int(self.R.randint(2**31)))
        self.warp.randomize(data, self.spatial_size, self._centers(data))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Warp the maps of ``data``."""
        return self.call_many([data])[0]

    def call_many(self, samples: Sequence[Mapping[Hashable, Any]]) -> list[dict[Hashable, Any]]:
        """Warp the maps of samples that have the same keys and shapes, each in its own way."""
        warped = [dict(sample) for sample in samples]
        self.randomize(_stack(warped, self.first_key(warped[0])))
        for key, mode in self.key_iterator(warped[0], self.mode):
            for sample, maps in zip(warped, self.warp(_stack(warped, key), mode), strict=True):
                sample[key] = maps
        return warped

    def _centers(self, maps: torch.Tensor) -> np.ndarray | float:
        if not self.random_center or self.spatial_size is None:
            return 0.0
        margin = np.maximum(np.array(maps.shape[2:], dtype=int) - np.array(self.spatial_size, dtype=int), 0)
        start: np.ndarray = self.R.randint(margin + 1, size=(len(maps), len(margin)))
        centers: np.ndarray = start - margin / 2
        return centers


def _stack(samples: Sequence[Mapping[Hashable, Any]], key: Hashable) -> torch.Tensor:
    return torch.stack([torch.as_tensor(sample[key]) for sample in samples])
