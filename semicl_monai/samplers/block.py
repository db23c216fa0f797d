"""All pixels, in groups of one block position each."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from monai.utils import ensure_tuple, ensure_tuple_rep
from torch import Tensor

from semicl_monai.samplers.pixel import PixelSampler
from semicl_monai.utils import InputError


class BlockSampler(PixelSampler):
    """Maps cut into blocks. The pixels of all views at one block position are one group.

    If the size of a map is not a multiple of the block size, the map is padded with ignored pixels at the end of each
    axis. Every pixel is therefore in exactly one group.

    Args:
        block_size: edge of a block in pixels, one number or one per axis.
        ignore_index: target of the padded pixels. The loss must ignore it.

    Raises:
        InputError: When ``block_size`` is not positive.
        ValueError: When the maps of a call have another number of spatial axes than ``block_size``.

    References:
        Hu et al., Semi-supervised Contrastive Learning for Label-efficient Medical Image Segmentation, MICCAI 2021,
        "block division", with 16 x 16 blocks. https://arxiv.org/abs/2109.07407

    Example:
        >>> import torch
        >>> embeddings, targets = BlockSampler(block_size=16)(torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64))
        >>> embeddings.shape, targets.shape
        (torch.Size([16, 512, 3]), torch.Size([16, 512]))
    """

    def __init__(self, block_size: int | Sequence[int] = 16, ignore_index: int = -1) -> None:
        if min(ensure_tuple(block_size)) < 1:
            raise InputError(f"block_size must be positive, got {block_size}.")
        self.block_size = block_size
        self.ignore_index = ignore_index

    def sample(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take all block positions."""
        block = ensure_tuple_rep(self.block_size, labels.ndim - 2)
        return _cut(embeddings, block, 0), _cut(labels, block, self.ignore_index).squeeze(-1)


def _cut(maps: Tensor, block: Sequence[int], fill: int) -> Tensor:
    """Cut maps of shape (B, C, *spatial) into shape (G, N, C), with N pixels at each of G block positions."""
    missing = [-size % edge for size, edge in zip(maps.shape[2:], block, strict=True)]
    maps = F.pad(maps, [end for width in reversed(missing) for end in (0, width)], value=fill)
    counts = [size // edge for size, edge in zip(maps.shape[2:], block, strict=True)]
    # (B, C, h, K, w, K) to (h, w, B, K, K, C), and likewise in 3-D
    maps = maps.reshape(*maps.shape[:2], *(number for pair in zip(counts, block, strict=True) for number in pair))
    positions, inside = range(2, maps.ndim, 2), range(3, maps.ndim, 2)
    maps = maps.permute(*positions, 0, *inside, 1)
    return maps.flatten(len(counts), -2).flatten(0, len(counts) - 1)
