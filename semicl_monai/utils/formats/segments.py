"""Labels whose file names its segments, and labels in another grid of the same lattice.

A ``.seg.nrrd`` of 3D Slicer is read **by segment name**. The values in it follow the order of the segments in Slicer,
which is not that of the classes. Upper and lower case are the same, and so are spaces around a name.

* A segment with voxels must have the name of a class, or be called ``background``.
* A segment without voxels may have any name.
* A voxel whose value belongs to no segment is refused.

3D Slicer saves only the box around its segments, and may save them in the axes of another file. Such a label is put
into the grid of its image if both grids lie on the same lattice: its axes may be in another order or direction, and it
may cover a part of the image. Voxels outside the box are background.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.nifti import AFFINE_TOLERANCE, Space

BACKGROUND = "background"


def class_numbers(
    voxels: np.ndarray, segments: Mapping[int, str], class_names: Sequence[str] | Mapping[int, str]
) -> np.ndarray:
    """Return a label with class numbers in place of the values of its segments.

    Args:
        voxels: the label, whole numbers.
        segments: names of the segments by value.
        class_names: names of the classes 1, 2, ..., or names by class number.

    Raises:
        InputError: When a segment with voxels is no class, two segments are the same class, or a value has no segment.

    Example:
        >>> class_numbers(np.array([0, 1, 2]), {1: "Tumour", 2: "liver "}, ["liver", "tumour"]).tolist()
        [0, 2, 1]
    """
    by_number = class_names if isinstance(class_names, Mapping) else dict(enumerate(class_names, 1))
    numbers = {_plain(name): number for number, name in by_number.items()}
    values = [value for value in np.unique(voxels).tolist() if value]
    _check_segments(values, segments, [*numbers, BACKGROUND], list(by_number.values()))
    found = np.zeros(voxels.shape, np.min_scalar_type(max(numbers.values(), default=0)))
    for value in values:
        found[voxels == value] = numbers.get(_plain(segments[value]), 0)
    return found


def _check_segments(
    values: Sequence[int], segments: Mapping[int, str], known: Sequence[str], class_names: Sequence[str]
) -> None:
    wanted = f"one of class_names ({', '.join(map(str, class_names))})"
    seen: dict[str, int] = {}
    for value in values:
        if value not in segments:
            named = ", ".join(f"{number} ({name})" for number, name in sorted(segments.items()))
            raise InputError(f"must hold values of its segments {named or 'none'}, got {value:g}.")
        name = _plain(segments[value])
        if name not in known:
            raise InputError(f"must name each segment by {wanted}, got the segment '{segments[value]}'.")
        if name in seen:
            raise InputError(f"must have one segment a class, got '{segments[value]}' for {seen[name]} and {value}.")
        seen[name] = value


def _plain(name: object) -> str:
    return str(name).strip().casefold()


def is_on_lattice(label: Space, image: Space) -> bool:
    """Whether a label can be put into the grid of an image by :func:`into_grid`."""
    return _moves(label, image) is not None


def into_grid(voxels: np.ndarray, label: Space, image: Space) -> np.ndarray:
    """Return a label in the grid of its image; voxels that it does not cover are 0.

    Args:
        voxels: the label, three axes.
        label: its space.
        image: the space of the image.

    Raises:
        InputError: When the two grids are not parts of one lattice, or a voxel above 0 lies outside the image.
    """
    moves = _moves(label, image)
    if moves is None:
        raise InputError("must lie on the voxels of its image, got voxels of another size, direction or place.")
    axes, signs, start = moves
    turned = voxels.transpose(axes)[tuple(slice(None, None, int(sign)) for sign in signs)]
    low = start - np.where(signs < 0, np.array(turned.shape) - 1, 0)
    inside, own = zip(*map(_overlap, low, turned.shape, image.shape), strict=True)
    filled = np.zeros(image.shape, voxels.dtype)
    filled[inside] = turned[own]
    lost = np.count_nonzero(voxels) - np.count_nonzero(filled)
    if lost:
        raise InputError(f"must lie inside its image, got {lost} labelled voxel(s) outside.")
    return filled


def _moves(label: Space, image: Space) -> tuple[tuple[int, ...], np.ndarray, np.ndarray] | None:
    """Axes, signs and first voxel that take the label into the grid of the image; ``None`` without such."""
    matrix = np.linalg.inv(image.affine) @ label.affine
    whole = np.rint(matrix)
    turn, start = whole[:3, :3].astype(int), whole[:3, 3].astype(int)
    if not (np.abs(turn).sum(0) == 1).all() or not (np.abs(turn).sum(1) == 1).all():
        return None
    # the corners of the label must lie on voxels of the image, to within the tolerance of two affines
    ends = [np.array([*corner, 1]) for corner in np.ndindex(2, 2, 2)]
    size = np.array([*label.shape, 2]) - 1
    off = [image.affine @ ((matrix - whole) @ (end * size)) for end in ends]
    if not max(np.abs(each[:3]).max() for each in off) <= AFFINE_TOLERANCE * max(label.shape):
        return None
    axes = np.abs(turn).argmax(1)
    return tuple(axes.tolist()), turn[np.arange(3), axes], start


def _overlap(low: int, size: int, total: int) -> tuple[slice, slice]:
    """The part of an axis of the image that a label of ``size`` voxels from ``low`` covers, in image and label."""
    start = max(int(low), 0)
    end = max(min(int(low) + size, total), start)
    return slice(start, end), slice(start - int(low), end - int(low))
