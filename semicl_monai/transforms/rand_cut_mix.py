"""Paste boxes of images into other images of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semicl_monai.utils import InputError


class RandCutMix:
    r"""Paste a box of every image into another image of the batch, and mix other maps of the images in the same way.

    A new box is drawn for each batch. It has the same place in all images. It goes from an image into the one that is
    half of the batch further, as neighbours in a batch may be slices or patches of one volume.

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
        check_box_options(prob, share)
        self.prob, self.share, self.generator = prob, tuple(share), generator
        self.box: tuple[slice, ...] | None = None

    def randomize(self, images: Tensor) -> None:
        """Draw whether a batch ``(B, C, H, W[, D])`` is mixed, and the box."""
        mixed = self._rand() < self.prob
        self.box = draw_box(images.shape[2:], self.share, self.generator) if mixed else None

    def __call__(self, maps: Tensor) -> Tensor:
        """Mix ``maps`` ``(B, C, H, W[, D])`` of the same images."""
        if self.box is None:
            return maps
        box = (slice(None), slice(None), *self.box)
        mixed = maps.clone()
        mixed[box] = maps.roll(len(maps) // 2, 0)[box]
        return mixed

    def _rand(self) -> float:
        return torch.rand((), generator=self.generator).item()


def draw_box(
    size: Sequence[int], share: Sequence[float], generator: torch.Generator | None = None
) -> tuple[slice, ...]:
    """Draw a box in a map.

    Args:
        size: edges of the map.
        share: smallest and largest length of an edge of the box, as a share of the edge of the map.
        generator: source of randomness; torch's default generator when ``None``.
    """

    def side(edge: int) -> slice:
        length_of, start_of = torch.rand(2, generator=generator).tolist()
        length = round(edge * (share[0] + (share[1] - share[0]) * length_of))
        start = int(start_of * (edge - length + 1))
        return slice(start, start + length)

    return tuple(side(edge) for edge in size)


def check_box_options(prob: float, share: Sequence[float]) -> None:
    """Check the probability of a box, and its share of an edge.

    Raises:
        InputError: When ``prob`` is not between 0 and 1, or ``share`` is not two numbers from 0 to 1, the lower first.
    """
    if not 0 <= prob <= 1:
        raise InputError(f"prob must be between 0 and 1, got {prob}.")
    if len(share) != 2 or not 0 <= share[0] <= share[1] <= 1:
        raise InputError(f"share must be two numbers from 0 to 1, the lower first, got {tuple(share)}.")
