"""Where the foreground of a label map lies, in few bytes."""

from __future__ import annotations

from typing import TypedDict

import torch
from torch import Tensor


class ForegroundIndex(TypedDict):
    """What is needed to draw slices and voxels with foreground, or with any annotation, without the whole label map.

    Voxels below 0 are not annotated. Nor are padded voxels of a volume that has such voxels, where label and image are
    zero in whole planes at the border.

    Entries:
        values: the values above 0 in ascending order, ``(K,)``.
        counts: number of voxels of each value in each plane of the first axis, ``(K, H)``.
        occupied: for each of the three axes, whether a plane holds foreground, ``(H,)``, ``(W,)`` and ``(D,)``.
        annotated: for each of the three axes, whether a plane holds an annotated voxel.
        num_annotated: number of annotated voxels in each plane of the first axis, ``(H,)``. It is empty if all voxels
            of the label map are annotated.
        box: first plane inside and first plane behind of the part that is not padded, for each axis, ``(3, 2)``.
    """

    values: Tensor
    counts: Tensor
    occupied: list[Tensor]
    annotated: list[Tensor]
    num_annotated: Tensor
    box: Tensor


def index_foreground(label: Tensor, image: Tensor | None = None) -> ForegroundIndex:
    """Index the values above 0 of a label map, and its annotated voxels.

    Args:
        label: shape ``(H, W, D)``.
        image: shape ``(C, H, W, D)``. It tells what is padded. By default nothing is.

    Example:
        >>> index_foreground(torch.tensor([[[0, 5]], [[5, 2]]]))["counts"]
        tensor([[0, 1],
                [1, 1]])
    """
    planes = [plane[plane > 0].unique(return_counts=True) for plane in label]  # plane by plane to save memory
    values = torch.cat([in_plane for in_plane, _ in planes]).unique()
    counts = torch.zeros(len(values), len(label), dtype=torch.int64)
    for number, (in_plane, of_plane) in enumerate(planes):
        counts[torch.searchsorted(values, in_plane), number] = of_plane
    found: ForegroundIndex = {
        "values": values,
        "counts": counts,
        "occupied": _planes_with(label > 0),
        "annotated": [torch.ones(size, dtype=torch.bool) for size in label.shape],
        "num_annotated": counts.new_zeros(0),
        "box": torch.tensor([[0, size] for size in label.shape]),
    }
    if label.numel() and label.amin() < 0:
        if image is not None:
            found["box"] = _box((label != 0) | (image != 0).any(dim=0))
        known = _inside(found["box"], label >= 0)
        found |= {"annotated": _planes_with(known), "num_annotated": known.flatten(1).sum(dim=1)}
    return found


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
    plane, rest = _plane_of(index["counts"][class_number], number)
    row, column = (label[plane] == index["values"][class_number]).nonzero()[rest].tolist()
    return plane, row, column


def annotated_voxel(label: Tensor, index: ForegroundIndex, number: int) -> tuple[int, int, int]:
    """Return the place of an annotated voxel of a label map with others. Only the plane of the voxel is read.

    Args:
        label: label map ``(H, W, D)``.
        index: its index.
        number: number of the voxel among the annotated ones, in the order of :func:`torch.nonzero`.

    Example:
        >>> label = torch.tensor([[[-1, -1]], [[-1, 0]]])
        >>> annotated_voxel(label, index_foreground(label), number=0)
        (1, 0, 1)
    """
    plane, rest = _plane_of(index["num_annotated"], number)
    row, column = _inside(index["box"][1:], label[plane] >= 0).nonzero()[rest].tolist()
    return plane, row, column


def _planes_with(mask: Tensor) -> list[Tensor]:
    """Whether each plane of each of three axes holds a voxel of a mask."""
    first, second = mask.any(dim=2), mask.any(dim=0)
    return [first.any(dim=1), first.any(dim=0), second.any(dim=0)]


def _box(mask: Tensor) -> Tensor:
    places = [planes.nonzero() for planes in _planes_with(mask)]
    return torch.tensor([[int(found[0]), int(found[-1]) + 1] for found in places])


def _inside(box: Tensor, mask: Tensor) -> Tensor:
    """A mask without what is outside of a box."""
    window = tuple(slice(*edges) for edges in box.tolist())
    inside = torch.zeros_like(mask)
    inside[window] = mask[window]
    return inside


def _plane_of(counts: Tensor, number: int) -> tuple[int, int]:
    """Return the plane of the voxel of a number, and the number of the voxel in it, from the counts of all planes."""
    ends = counts.cumsum(0)
    plane = int(torch.searchsorted(ends, number, right=True))
    return plane, number - (int(ends[plane - 1]) if plane else 0)
