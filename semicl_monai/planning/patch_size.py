"""The size of a patch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from semicl_monai.planning.topology import SMALLEST_MAP, Topology, topology_of

DEEPEST = (3, 2, 2)  # voxels of the deepest map of a small patch
SMALLEST = 4 * SMALLEST_MAP  # voxels; a DynUNet has at least two poolings


def largest_patch(
    shape: Sequence[int], spacing: Sequence[float], fits: Callable[[np.ndarray, Topology], bool]
) -> tuple[list[int], Topology]:
    """Return the largest patch that fits, with the topology of its network.

    The first patch is as large as the image. While it does not fit, its edge that is longest in mm becomes smaller, of
    equal edges the one that covers more of the image. So the patch comes close to a cube. Edges are rounded up to what
    the network can halve.

    Args:
        shape: edges of the median image, in voxels.
        spacing: edges of a voxel, in mm.
        fits: whether a patch and its network are small enough.

    Returns:
        Edges of the patch in voxels, and the topology. If no patch fits, the smallest one is returned.
    """
    size = np.maximum(np.array(shape), 1)
    while True:
        topology = topology_of(size, spacing)
        patch = -(-size // topology.divisor) * topology.divisor
        smaller = _shortened(patch, spacing, topology.divisor, np.minimum(size, SMALLEST), np.array(shape))
        if smaller is None or fits(patch, topology):
            return [int(edge) for edge in patch], topology
        size = np.minimum(size, smaller)


def smaller_patch(patch: Sequence[int], spacing: Sequence[float], topology: Topology, voxels: float) -> list[int]:
    """Return a patch for the same network with at most so many voxels, if its deepest map stays large enough.

    The deepest map keeps three voxels along the first axis, which bfloat16 on a CPU needs (see
    :class:`~semicl_monai.inferers.Bfloat16Inferer`), and two along the others.

    Args:
        patch: edges of the large patch, in voxels.
        spacing: edges of a voxel, in mm.
        topology: strides of the network.
        voxels: number of voxels that is wanted.
    """
    smaller: np.ndarray | None = np.array(patch)
    found, smallest = smaller, np.minimum(patch, np.array(DEEPEST) * topology.divisor)
    while smaller is not None and np.prod(smaller) > voxels:
        smaller = _shortened(smaller, spacing, topology.divisor, smallest, np.array(patch))
        found = found if smaller is None else smaller
    return [int(edge) for edge in found]  # type: ignore[union-attr]  # it is the last patch that is not None


def _shortened(
    patch: np.ndarray, spacing: Sequence[float], divisor: np.ndarray, smallest: np.ndarray, image: np.ndarray
) -> np.ndarray | None:
    """Return a patch whose longest edge in mm is shorter by one step; ``None`` if no edge can be shorter."""
    steps = np.where(patch - divisor >= smallest, divisor, 0)
    if not steps.any():
        return None
    edges = np.where(steps > 0, patch * np.array(spacing), -1)
    axis = int(np.lexsort((patch / image, edges))[-1])
    shorter: np.ndarray = patch - np.where(np.arange(len(patch)) == axis, steps, 0)
    return shorter
