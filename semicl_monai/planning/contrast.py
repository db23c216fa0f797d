"""Which voxels of a patch the local contrast takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def grid_strides(patch: Sequence[int], spacing: Sequence[float], points: float) -> list[int]:
    """Return strides of a grid with about so many points, as far apart along each axis in mm as whole voxels allow.

    Args:
        patch: edges of the patch, in voxels.
        spacing: edges of a voxel, in mm.
        points: wanted number of points of a patch.
    """
    size = np.array(patch)
    tried = _edges(size, spacing)
    counts = np.array([np.prod(-(-size // strides)) for strides in tried])
    return tried[int(abs(np.log(counts / points)).argmin())]


def block_edges(patch: Sequence[int], spacing: Sequence[float], voxels: float) -> list[int]:
    """Return edges of a block with about so many voxels, alike along each axis in mm, and no larger than the patch.

    Args:
        patch: edges of the patch, in voxels.
        spacing: edges of a voxel, in mm.
        voxels: wanted number of voxels of a block.
    """
    tried = _edges(np.array(patch), spacing)
    counts = np.array([np.prod(edges) for edges in tried])
    return tried[int(abs(np.log(counts / voxels)).argmin())]


def _edges(size: np.ndarray, spacing: Sequence[float]) -> list[list[int]]:
    """Return boxes of growing size, isotropic in mm up to the rounding to whole voxels."""
    edge = np.array(spacing, float)
    lengths = edge.min() * np.arange(1, 1 + int((size * edge).max() / edge.min()))
    return [[int(value) for value in np.clip(np.rint(length / edge), 1, size)] for length in lengths]
