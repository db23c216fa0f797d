"""Cut an image into a shuffled jigsaw."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from itertools import product
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep
from torch.nn import functional as F

from semicl_monai.utils import InputError


class RandJigsawd(Randomizable, MapTransform):
    """Add the shuffled grid patches of an image to a sample.

    The image is cut into ``grid`` cells along each axis. The remainder at the far border is dropped. A random window is
    taken from each cell, so that patches do not touch at their borders. Its edge is three quarters of the cell's edge.
    The window is resized to ``patch_size``.

    Args:
        keys: images of shape ``(C, H, W[, D])``.
        grid: number of cells along each axis.
        patch_size: edge of the patches in pixels. The network must accept images of this size.
        patches_keys: keys for the patches, one for each of ``keys``.
        allow_missing_keys: whether keys may be missing in a sample.

    Returns:
        The sample with patches ``(grid ** spatial_dims, C, patch_size, patch_size[, patch_size])`` added to it.

    Raises:
        InputError: When ``grid`` or ``patch_size`` is not positive, two of ``patches_keys`` are the same, or an image
            has fewer than four pixels per cell along an axis.

    References:
        Misra and van der Maaten, Self-Supervised Learning of Pretext-Invariant Representations, CVPR 2020, section 3.3
        (jigsaw of nine patches, from Noroozi and Favaro, ECCV 2016). https://arxiv.org/abs/1912.01991

    Example:
        >>> RandJigsawd("image", patch_size=16).set_random_state(0)({"image": torch.zeros(1, 48, 48)})["patches"].shape
        torch.Size([9, 1, 16, 16])
    """

    def __init__(
        self,
        keys: KeysCollection,
        grid: int = 3,
        patch_size: int = 32,
        patches_keys: KeysCollection = "patches",
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.patches_keys = ensure_tuple_rep(patches_keys, len(self.keys))
        if len(set(self.patches_keys)) < len(self.keys):
            raise InputError(f"patches_keys must differ, got {self.patches_keys}.")
        if grid < 1 or patch_size < 1:
            raise InputError(f"grid and patch_size must be positive, got {grid} and {patch_size}.")
        self.grid, self.patch_size = grid, patch_size
        self.order: list[int] = []
        self.offsets: list[list[int]] = []

    def randomize(self, cell: list[int]) -> None:
        """Draw the order of the patches and the start of each window in its cell."""
        number = self.grid ** len(cell)
        self.order = self.R.permutation(number).tolist()
        self.offsets = [[int(self.R.randint(edge - _window(edge) + 1)) for edge in cell] for _ in range(number)]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Cut the images of ``data``."""
        result = dict(data)
        for key, patches_key in self.key_iterator(data, self.patches_keys):
            result[patches_key] = self._cut(torch.as_tensor(data[key]))
        return result

    def _cut(self, image: torch.Tensor) -> torch.Tensor:
        cell = [size // self.grid for size in image.shape[1:]]
        if min(cell) < 4:
            wanted = 4 * self.grid
            raise InputError(
                f"a jigsaw needs images of at least {wanted} pixels per edge, got {tuple(image.shape[1:])}."
            )
        self.randomize(cell)
        corners = list(product(*[range(self.grid)] * len(cell)))
        patches = [self._patch(image, corners[number], cell, self.offsets[number]) for number in self.order]
        return torch.stack(patches)

    def _patch(self, image: torch.Tensor, corner: tuple[int, ...], cell: list[int], offset: list[int]) -> torch.Tensor:
        starts = [c * edge + o for c, edge, o in zip(corner, cell, offset, strict=True)]
        windows = [slice(start, start + _window(edge)) for start, edge in zip(starts, cell, strict=True)]
        mode = "bilinear" if len(cell) == 2 else "trilinear"
        size = [self.patch_size] * len(cell)
        return F.interpolate(image[(slice(None), *windows)][None], size=size, mode=mode, align_corners=False)[0]


def _window(edge: int) -> int:
    return max(1, 3 * edge // 4)
