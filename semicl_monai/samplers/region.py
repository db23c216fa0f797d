"""Small regions at fixed places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod

import torch
from torch import Tensor

from semicl_monai.utils import InputError

OUTER, INNER = (1 / 8, 1 / 2, 7 / 8), (5 / 16, 11 / 16)


class RegionSampler:
    """Regions at the same fixed places of both views of an image. A region is one embedding, and an image is one group.

    The places are a grid of three per axis, with a grid of two per axis between its places. A 2-D map has 13 regions,
    a 3-D map has 35. The embeddings of a region's pixels are concatenated to one embedding. A loss on these groups has
    the same region of the other view as positive, and the other regions of both views as negatives. Both views must
    have the same geometry.

    Args:
        size: edge of the regions in pixels, an odd number.

    Raises:
        InputError: When ``size`` is not odd and positive, or when a map is so small that its regions overlap.

    References:
        Chaitanya et al., Contrastive learning of global and local features for medical image segmentation with limited
        annotations, NeurIPS 2020, section 3.3 (the strategy L^R). https://arxiv.org/abs/2006.10511

    Example:
        >>> embeddings, targets = RegionSampler()(torch.rand(2 * 4, 5, 32, 32))
        >>> embeddings.shape, targets.shape
        (torch.Size([4, 26, 45]), torch.Size([4, 26]))
    """

    def __init__(self, size: int = 3) -> None:
        if size < 1 or size % 2 == 0:
            raise InputError(f"size must be an odd positive number, got {size}.")
        self.size = size

    def __call__(self, embeddings: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Take the regions.

        Args:
            embeddings: one embedding per pixel, shape (2B, C, H, W) or (2B, C, H, W, D): view 1 of every image, then
                view 2 in the same order.
            labels: not used.

        Returns:
            Embeddings of shape (B, 2R, size ** spatial_dims * C), one pixel after the other. Targets of shape (B, 2R),
            the numbers of the regions.
        """
        pixels = self._pixels(embeddings.shape[2:]).to(embeddings.device)
        # one selection of all pixels: the backward pass then fills one map in total, not one map per region
        plain = embeddings.as_subclass(torch.Tensor).flatten(2)
        regions = plain.index_select(2, pixels.flatten()).unflatten(2, pixels.shape).movedim(1, 3).flatten(2)
        pairs = torch.cat(regions.chunk(2), dim=1)
        numbers = torch.arange(len(pixels), device=plain.device)
        return pairs, numbers.repeat(2).expand(len(pairs), -1)

    def _pixels(self, size: Sequence[int]) -> Tensor:
        """Return the indices of each region's pixels in a flattened map, ``(R, size ** spatial_dims)``."""
        numbers = torch.arange(prod(size)).reshape(*size)
        return torch.stack([self._region(numbers, place) for place in self._places(size)])

    def _places(self, size: Sequence[int]) -> list[tuple[float, ...]]:
        if min(size) * 3 < 16 * self.size:
            raise InputError(f"regions of {self.size} pixels overlap in maps of {tuple(size)} pixels.")
        return [place for grid in (OUTER, INNER) for place in product(grid, repeat=len(size))]

    def _region(self, numbers: Tensor, place: Sequence[float]) -> Tensor:
        for axis, share in enumerate(place):
            start = round(share * numbers.shape[axis]) - (self.size + 1) // 2
            numbers = numbers.narrow(axis, start, self.size)
        return numbers.flatten()
