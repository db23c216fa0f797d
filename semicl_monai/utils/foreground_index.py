"""Where the foreground of a label map lies, in few bytes."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor


class ForegroundIndex(TypedDict):
    """What is needed to draw slices and voxels with foreground without reading the whole label map.

    Entries:
        values: the values above 0 in ascending order, ``(K,)``.
        counts: number of voxels of each value in each plane of the first axis, ``(K, H)``.
        occupied: for each of the three axes, whether a plane holds foreground, ``(H,)``, ``(W,)`` and ``(D,)``.
    """

    values: Tensor
    counts: Tensor
    occupied: list[Tensor]


def index_foreground(label: Tensor) -> ForegroundIndex:
    """Index the values above 0 of a label map.

    Args:
        label: shape ``(H, W, D)``.

    Example:
        >>> index_foreground(torch.tensor([[[0, 5]], [[5, 2]]]))["counts"]
        tensor([[0, 1],
                [1, 1]])
    """
    planes = [plane[plane > 0].unique(return_counts=True) for plane in label]  # plane by plane to save memory
    values = torch.cat([found for found, _ in planes]).unique()
    counts = torch.zeros(len(values), len(label), dtype=torch.int64)
    for number, (found, of_plane) in enumerate(planes):
        counts[torch.searchsorted(values, found), number] = of_plane
    first, second = (label > 0).any(dim=2), (label > 0).any(dim=0)
    return {"values": values, "counts": counts, "occupied": [first.any(dim=1), first.any(dim=0), second.any(dim=0)]}


def foreground_voxel(label: Tensor, index: ForegroundIndex, class_number: int, number: int) -> tuple[int, int, int]:
    """Return the place of a voxel of a class. Only the plane of the voxel is read.

    Args:
        label: label map ``(H, W, D)``.
        index: its index.
        class_number: row of the class in the index.
        number: number of the voxel among those of the class, in the order of :func:`torch.nonzero`.

    Example:
        >>> label = torch.tensor([[[0, 5]], [[5, 2]]])
        >>> foreground_voxel(label, index_foreground(label), class_number=1, number=1)
        (1, 0, 0)
    """
    ends = index["counts"][class_number].cumsum(0)
    plane = int(torch.searchsorted(ends, number, right=True))
    before = int(ends[plane - 1]) if plane else 0
    row, column = (label[plane] == index["values"][class_number]).nonzero()[number - before].tolist()
    return plane, row, column
