"""Paste boxes of images into other images of the batch."""

from __future__ import annotations

import torch
from torch import Tensor

from semicl_monai.utils import InputError


class RandCutMix:
    r"""Paste a box of every image into the next image of the batch, and mix other maps of the images in the same way.

    A new box is drawn for each batch. It has the same place in all images. The box of the last image goes into the
    first image.

    Args:
        prob: probability that a batch is mixed.
        share: smallest and largest length of a box edge, as a share of the image edge.
        generator: source of randomness; torch's default generator when ``None``.

    Raises:
        InputError: When ``prob`` is not between 0 and 1, or ``share`` is not two numbers from 0 to 1, the lower first.

    References:
        Yun et al., CutMix, ICCV 2019. https://arxiv.org/abs/1905.04899
        French et al., Semi-supervised semantic segmentation needs strong, varied perturbations, BMVC 2020 (images and
        the teacher's probabilities are mixed alike). https://arxiv.org/abs/1906.01916

    Example:
        >>> mix = RandCutMix(prob=1.0, share=(0.5, 0.5), generator=torch.Generator().manual_seed(0))
        >>> mix.randomize(torch.zeros(2, 1, 4, 4))
        >>> mix(torch.arange(2.0)[:, None, None, None].expand(2, 1, 4, 4)).sum(dim=(1, 2, 3))
        tensor([ 4., 12.])
    """

    def __init__(
        self, prob: float = 0.5, share: tuple[float, float] = (0.3, 0.7), generator: torch.Generator | None = None
    ) -> None:
        if not 0 <= prob <= 1:
            raise InputError(f"prob must be between 0 and 1, got {prob}.")
        if len(share) != 2 or not 0 <= share[0] <= share[1] <= 1:
            raise InputError(f"share must be two numbers from 0 to 1, the lower first, got {tuple(share)}.")
        self.prob, self.share, self.generator = prob, tuple(share), generator
        self.box: tuple[slice, ...] | None = None

    def randomize(self, images: Tensor) -> None:
        """Draw whether a batch ``(B, C, H, W[, D])`` is mixed, and the box."""
        mixed = self._rand() < self.prob
        self.box = tuple(self._draw_side(edge) for edge in images.shape[2:]) if mixed else None

    def __call__(self, maps: Tensor) -> Tensor:
        """Mix ``maps`` ``(B, C, H, W[, D])`` of the same images."""
        if self.box is None:
            return maps
        box = (slice(None), slice(None), *self.box)
        mixed = maps.clone()
        mixed[box] = maps.roll(1, 0)[box]
        return mixed

    def _draw_side(self, edge: int) -> slice:
        low, high = self.share
        length = round(edge * (low + (high - low) * self._rand()))
        start = int(self._rand() * (edge - length + 1))
        return slice(start, start + length)

    def _rand(self) -> float:
        return torch.rand((), generator=self.generator).item()
