"""Paste boxes between labelled and unlabelled images."""

from __future__ import annotations

import torch
from torch import Tensor

from semicl_monai.transforms.rand_cut_mix import check_box_options, draw_box


class RandCopyPaste:
    r"""Paste parts of other images into images, and mix maps of both in the same way.

    A box is drawn for each batch. It has the same place in all images. One half of the images, drawn for each image,
    gets the box of another image; the other half keeps its own box, and gets all around it. So with unlabelled images
    and labelled ones as the others, boxes are pasted in both directions.

    Args:
        prob: probability that a batch is mixed.
        share: smallest and largest length of a box edge, as a share of the image edge.
        generator: source of randomness; torch's default generator when ``None``.

    Raises:
        InputError: When ``prob`` is not between 0 and 1, or ``share`` is not two numbers from 0 to 1, the lower first.

    References:
        Bai et al., Bidirectional Copy-Paste for Semi-Supervised Medical Image Segmentation, CVPR 2023, eq. 3 and 4
        (with a box of two thirds, and in all batches). https://arxiv.org/abs/2305.00673

    Example:
        >>> paste = RandCopyPaste(prob=1.0, share=(0.5, 0.5), generator=torch.Generator().manual_seed(0))
        >>> paste.randomize(torch.zeros(2, 1, 4, 4), count=1)
        >>> paste(torch.zeros(2, 1, 4, 4), torch.ones(1, 1, 4, 4)).sum(dim=(1, 2, 3))
        tensor([ 4., 12.])
    """

    def __init__(
        self, prob: float = 0.5, share: tuple[float, float] = (0.4, 0.8), generator: torch.Generator | None = None
    ) -> None:
        check_box_options(prob, share)
        self.prob, self.share, self.generator = prob, tuple(share), generator
        self.from_others: Tensor | None = None
        self.partners = torch.empty(0, dtype=torch.int64)

    def randomize(self, images: Tensor, count: int) -> None:
        """Draw whether a batch is mixed, the box, and a partner for each image.

        Args:
            images: a batch ``(B, C, H, W[, D])``.
            count: number of other images. Without any, nothing is mixed.
        """
        mixed = torch.rand((), generator=self.generator).item() < self.prob and count > 0
        self.from_others = self._mask(images) if mixed else None
        self.partners = torch.arange(len(images), device=images.device) % max(count, 1)

    def __call__(self, maps: Tensor, others: Tensor) -> Tensor:
        """Mix maps ``(B, C, H, W[, D])`` with maps ``(count, C, H, W[, D])`` of the other images."""
        if self.from_others is None:
            return maps
        return torch.where(self.from_others, others[self.partners].to(maps.dtype), maps)

    def _mask(self, images: Tensor) -> Tensor:
        """Draw the mask of voxels that are of the other images, ``(B, 1, H, W[, D])``."""
        inside = torch.zeros(images.shape[2:], dtype=torch.bool)
        inside[draw_box(images.shape[2:], self.share, self.generator)] = True
        around = torch.rand(len(images), generator=self.generator) < 0.5
        return (inside ^ around.view(-1, 1, *[1] * inside.ndim)).to(images.device)
