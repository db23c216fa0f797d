"""Random symmetries of whole batches that let gradients through."""

from __future__ import annotations

import torch
from monai.networks.layers import AffineTransform
from torch import Tensor

from semicl_monai.utils import InputError


class RandSymmetry:
    r"""Flip, rotate by multiples of 90 degrees and scale every image of a batch, and other maps of it in the same way.

    Rotation and flips together are a random symmetry of the square or cube. If the edges differ in length, only flips
    are drawn. Beyond the border of a map, its outermost pixels are repeated. Gradients pass through.

    Args:
        scale: smallest and largest scale factor.
        generator: source of randomness; torch's default generator when ``None``.

    Raises:
        InputError: When ``scale`` is not two positive numbers, the lower first.

    References:
        Li et al., Transformation-Consistent Self-Ensembling Model for Semi-supervised Medical Image Segmentation,
        IEEE TNNLS 2020, section III-C (the transformation :math:`\pi`). https://arxiv.org/abs/1903.00348

    Example:
        >>> pi = RandSymmetry()
        >>> pi.randomize(torch.zeros(2, 1, 8, 8))
        >>> pi(torch.zeros(2, 1, 8, 8)).shape, pi(torch.zeros(2, 3, 8, 8)).shape
        (torch.Size([2, 1, 8, 8]), torch.Size([2, 3, 8, 8]))
    """

    def __init__(self, scale: tuple[float, float] = (0.9, 1.1), generator: torch.Generator | None = None) -> None:
        if len(scale) != 2 or not 0 < scale[0] <= scale[1]:
            raise InputError(f"scale must be two positive numbers, the lower first, got {tuple(scale)}.")
        self.scale, self.generator = tuple(scale), generator
        self.theta = torch.empty(0)
        self.resample = AffineTransform(normalized=True, padding_mode="border", align_corners=False)

    def randomize(self, images: Tensor) -> None:
        """Draw a symmetry for every image of a batch ``(B, C, H, W[, D])``."""
        count, edges = len(images), images.shape[2:]
        axes = self._rand(count, len(edges)).argsort(1) if len(set(edges)) == 1 else torch.arange(len(edges))
        signs = torch.where(self._rand(count, len(edges)) < 0.5, -1.0, 1.0)
        low, high = self.scale
        factor = low + (high - low) * self._rand(count, 1)
        permutation = torch.eye(len(edges))[axes.expand(count, -1)]
        shift = torch.zeros(count, len(edges), 1)
        self.theta = torch.cat([permutation * (signs / factor)[..., None], shift], dim=2).to(images.device)

    def __call__(self, maps: Tensor) -> Tensor:
        """Apply the drawn symmetries to ``maps`` ``(B, C, H, W[, D])`` of the same images."""
        plain = maps.as_subclass(Tensor)
        exact = torch.promote_types(plain.dtype, torch.float32)  # half precision is too coarse for positions
        with torch.autocast(plain.device.type, enabled=False):
            moved: Tensor = self.resample(plain.to(exact), self.theta.to(exact), plain.shape[2:])
        return moved.to(plain.dtype)

    def _rand(self, *size: int) -> Tensor:
        return torch.rand(size, generator=self.generator)
