"""Depth, strides and kernels of a U-Net for a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SMALLEST_MAP = 4  # voxels of the deepest map along an axis that is halved
ALIKE = 2  # an axis whose spacing is smaller than this multiple of the finest spacing is treated like the finest one


@dataclass(frozen=True)
class Topology:
    """Strides and kernels of a U-Net, one list of each level from the image down.

    Attributes:
        strides: strides of the first convolution of each level along the axes. Those of the first level are 1, but in a
            topology :func:`without_first_level`.
        kernels: edges of the kernels of each level.
    """

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def divisor(self) -> np.ndarray:
        """The number that each edge of a patch must be a multiple of."""
        divisor: np.ndarray = np.prod(self.strides, axis=0)
        return divisor

    def sizes(self, patch: Sequence[int]) -> np.ndarray:
        """Return the sizes of the maps of each level, shape ``(levels, axes)``."""
        sizes: np.ndarray = np.array(patch) // np.cumprod(self.strides, axis=0)
        return sizes


def topology_of(patch: Sequence[int], spacing: Sequence[float]) -> Topology:
    """Return the deepest topology for a patch, by the rules of nnU-Net.

    An axis is halved while its map has at least eight voxels, and only if its spacing is below twice the finest spacing
    of the axes that can still be halved. A kernel has an edge of 3 along an axis as soon as the axis' spacing is below
    twice the finest one, before that an edge of 1. So thick slices are convolved one by one until the voxels of the
    maps are about isotropic. If only one axis is left, it is halved while its map has at least twelve voxels.

    Args:
        patch: edges of the patch, in voxels.
        spacing: edges of a voxel, in mm.

    References:
        Isensee et al., nnU-Net, Nature Methods 2021, https://doi.org/10.1038/s41592-020-01008-z, supplementary note 4.

    Example:
        >>> topology_of((64, 64, 12), (1.0, 1.0, 5.0)).strides
        ((1, 1, 1), (2, 2, 1), (2, 2, 1), (2, 2, 2), (2, 2, 1))
    """
    size, edge = np.array(patch), np.array(spacing, float)
    thick = np.ones(len(size), bool)
    strides, kernels = [(1,) * len(size)], []
    while True:
        thick &= edge / edge.min() >= ALIKE  # once an axis has a kernel of 3, it keeps it
        kernels.append(tuple(int(value) for value in np.where(thick, 1, 3)))
        halved = _halved(size, edge)
        if not halved.any():
            return Topology(tuple(strides), tuple(kernels))
        strides.append(tuple(int(value) for value in np.where(halved, 2, 1)))
        size, edge = np.where(halved, -(-size // 2), size), np.where(halved, edge * 2, edge)


def without_first_level(topology: Topology) -> Topology:
    """Return the topology without the level of the image's own resolution, for a network of the other levels.

    Most of the time of a network goes into that level. See :class:`semicl_monai.networks.StridedDynUNet`.
    """
    return Topology(topology.strides[1:], topology.kernels[1:])


def _halved(size: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Return which axes are halved next."""
    large = size >= 2 * SMALLEST_MAP
    if not large.any():
        return large
    halved: np.ndarray = large & (edge / edge[large].min() < ALIKE)
    if halved.sum() == 1:
        halved = halved & (size >= 3 * SMALLEST_MAP)
    return halved
