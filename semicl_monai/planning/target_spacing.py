"""The spacing that images are resampled to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semicl_monai.data import Fingerprint

FAR = 3  # an axis is far from the others if its spacing and its size differ from theirs by this factor
LOW = 10  # percentile of the spacings along such an axis
SAME = 0.01  # largest relative difference of spacings that count as equal


def target_spacing(found: Fingerprint) -> np.ndarray:
    """Return the spacing in mm along x, y and z that fits the training images, by the rules of nnU-Net.

    It is the median. If the spacing along one axis is more than three times the others, and its size less than a third
    of the others, the 10th percentile is used along this axis, but not less than the others. Fine images of thick
    slices then lose less.

    Args:
        found: the fingerprint of the training images.

    References:
        Isensee et al., nnU-Net, Nature Methods 2021, https://doi.org/10.1038/s41592-020-01008-z, supplementary note 4.
    """
    spacing: np.ndarray = np.median(found.spacings, axis=0)
    size = np.median(found.shapes, axis=0)
    axis = int(spacing.argmax())
    others = np.delete(spacing, axis).max()
    if spacing[axis] > FAR * others and FAR * size[axis] < np.delete(size, axis).min():
        spacing[axis] = max(np.percentile(found.spacings[:, axis], LOW), others)
    return spacing


def spacing_to_resample(found: Fingerprint, spacing: np.ndarray) -> list[float] | None:
    """Return a target spacing in three digits, or ``None`` if all images have it to within 1 %."""
    alike = (abs(found.spacings / spacing - 1) < SAME).all()
    return None if alike else [float(f"{value:.3g}") for value in spacing]


def thick_axis(patch: Sequence[int], spacing: Sequence[float]) -> int | None:
    """Return the axis of thick slices, across which a patch is not turned or deformed; ``None`` if there is none.

    It is the axis of the largest spacing, if the patch has more than three times as many voxels along another axis, and
    the spacing is more than three times the others.

    Args:
        patch: edges of the patch, in voxels.
        spacing: edges of a voxel, in mm.
    """
    edges = np.array(spacing, float)
    axis = int(edges.argmax())
    thick = edges[axis] > FAR * np.delete(edges, axis).max() and max(patch) > FAR * patch[axis]
    return axis if thick else None
