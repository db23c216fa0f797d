"""Pixels on a regular grid."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.utils import ensure_tuple, ensure_tuple_rep
from torch import Tensor

from semicl_monai.samplers.pixel import PixelSampler, as_one_group
from semicl_monai.utils import InputError


class StrideSampler(PixelSampler):
    """Every ``stride``-th pixel in each axis of every view, as one group.

    Args:
        stride: distance between neighbouring pixels, one number or one per axis.
        random_offset: whether the grid starts at a random pixel of each axis, the same in all views, or at pixel 0.
        generator: random generator of the offset. With ``None``, it is torch's default generator.

    Raises:
        InputError: When ``stride`` is not positive.
        ValueError: When the maps of a call have another number of spatial axes than ``stride``.

    References:
        Hu et al., Semi-supervised Contrastive Learning for Label-efficient Medical Image Segmentation, MICCAI 2021,
        "downsampling", with a stride of 4. https://arxiv.org/abs/2109.07407

    Example:
        >>> embeddings, targets = StrideSampler(stride=4)(torch.rand(2, 3, 16, 16), torch.ones(2, 1, 16, 16))
        >>> embeddings.shape, targets.shape
        (torch.Size([1, 32, 3]), torch.Size([1, 32]))
    """

    def __init__(
        self, stride: int | Sequence[int] = 4, random_offset: bool = False, generator: torch.Generator | None = None
    ) -> None:
        if min(ensure_tuple(stride)) < 1:
            raise InputError(f"stride must be positive, got {stride}.")
        self.stride = stride
        self.random_offset = random_offset
        self.generator = generator

    def sample(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take the pixels of the grid."""
        strides = ensure_tuple_rep(self.stride, labels.ndim - 2)
        offsets = self.randomize([min(pair) for pair in zip(strides, labels.shape[2:], strict=True)])
        grid = [slice(None)] * 2 + [slice(start, None, step) for start, step in zip(offsets, strides, strict=True)]
        return as_one_group(embeddings[tuple(grid)], labels[tuple(grid)])

    def randomize(self, limits: Sequence[int]) -> list[int]:
        """Draw the first pixel of the grid in each axis, below the limit of the axis."""
        if not self.random_offset:
            return [0] * len(limits)
        device = self.generator.device if self.generator else None
        return [int(torch.randint(limit, (), generator=self.generator, device=device)) for limit in limits]
