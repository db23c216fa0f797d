"""Label maps with voxels to ignore, and with regions of several classes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semicl_monai.utils.errors import InputError

IGNORED = -1  # class number of voxels that count nowhere


def check_regions(regions: Sequence[Sequence[int]] | None, order: Sequence[int] | None = None) -> None:
    """Check regions and the class numbers that masks get from them.

    Args:
        regions: class numbers of each region; ``None`` for classes without regions.
        order: the class number that a mask gets from each region, see :func:`decode_regions`.

    Raises:
        InputError: When a region is empty or holds anything but class numbers from 1, or ``order`` does not fit.
    """
    for region in regions or ():
        if isinstance(region, str) or not isinstance(region, Sequence) or not region or not all(map(_is_class, region)):
            raise InputError(f"regions must be lists of class numbers from 1, as in [[1, 2], [2]], got {region!r}.")
    if order is not None and regions is not None:
        known = {number for region in regions for number in region}
        if len(order) != len(regions) or not set(order) <= known:
            raise InputError(
                f"regions_class_order must be {len(regions)} class numbers of regions, one for each, got {list(order)}."
            )


def region_maps(labels: Tensor, regions: Sequence[Sequence[int]], dim: int = 1) -> Tensor:
    """Return a map of each region, 1 inside and 0 outside.

    Args:
        labels: class numbers, of one channel along ``dim``. Voxels to ignore are outside of all regions.
        regions: class numbers of each region.
        dim: dimension of the channels.

    Example:
        >>> region_maps(torch.tensor([[[0.0, 1.0, 2.0, -1.0]]]), [[1, 2], [2]])
        tensor([[[0., 1., 1., 0.],
                 [0., 0., 1., 0.]]])
    """
    plain = labels.as_subclass(Tensor)
    maps = [torch.isin(plain, torch.tensor(region, dtype=plain.dtype, device=plain.device)) for region in regions]
    return torch.cat(maps, dim=dim).to(torch.float32)


def decode_regions(inside: Tensor, order: Sequence[int], dim: int = 1) -> Tensor:
    """Return class numbers from regions that may overlap: each region in turn gives its voxels the next of ``order``.

    A later region overwrites an earlier one, as in nnU-Net. Voxels outside of all regions are background, 0.

    Args:
        inside: masks of all regions along ``dim``.
        order: the class number from each region.
        dim: dimension of the regions. It is kept, with one channel.

    Example:
        >>> decode_regions(torch.tensor([[[False, True, True], [False, False, True]]]), [1, 2])
        tensor([[[0, 1, 2]]])
    """
    decoded = torch.zeros_like(inside.narrow(dim, 0, 1), dtype=torch.int64)
    for number, region in zip(order, inside.split(1, dim=dim), strict=True):
        decoded = decoded.masked_fill(region, number)
    return decoded


def _is_class(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1
