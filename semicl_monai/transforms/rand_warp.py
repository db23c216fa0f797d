"""Random affine maps and smooth deformations of whole batches."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn import functional as F

from semicl_monai.utils import InputError

COARSE = 4  # points of a deformation along each axis


class RandWarp:
    """Rotate, scale, shear, shift and deform every image of a batch, and other maps of it in the same way.

    Amounts are drawn uniformly, and the affine map is that of :class:`monai.transforms.RandAffine`. Affine map and
    deformation are one resampling. Values beyond the border of a map are zero.

    Args:
        rotate: largest angle about each axis, in radians.
        scale: largest relative change of each edge.
        shear: largest shear along each axis.
        translate: largest shift along each axis, as a share of the edge.
        prob: probability that an image is rotated, scaled, sheared and shifted.
        deform: largest displacement of a deformation along each axis, as a share of half the edge. Displacements are
            drawn on a grid of four points along each axis and interpolated linearly between the points.
        deform_prob: probability that an image is deformed.
        generator: source of randomness; torch's default generator when ``None``.

    Raises:
        InputError: When an amount is negative, or a probability is not between 0 and 1.

    Example:
        >>> warp = RandWarp()
        >>> warp.randomize(torch.zeros(2, 1, 8, 8))
        >>> warp(torch.zeros(2, 1, 8, 8)).shape, warp(torch.zeros(2, 3, 8, 8)).shape
        (torch.Size([2, 1, 8, 8]), torch.Size([2, 3, 8, 8]))
    """

    def __init__(
        self,
        rotate: float = 0.35,
        scale: float = 0.2,
        shear: float = 0.15,
        translate: float = 0.1,
        prob: float = 0.8,
        deform: float = 0.2,
        deform_prob: float = 0.3,
        generator: torch.Generator | None = None,
    ) -> None:
        amounts = {"rotate": rotate, "scale": scale, "shear": shear, "translate": translate, "deform": deform}
        for name, amount in amounts.items():
            if amount < 0:
                raise InputError(f"{name} must not be negative, got {amount}.")
        for name, chance in {"prob": prob, "deform_prob": deform_prob}.items():
            if not 0 <= chance <= 1:
                raise InputError(f"{name} must be between 0 and 1, got {chance}.")
        self.rotate, self.scale, self.shear, self.translate, self.deform = amounts.values()
        self.prob, self.deform_prob, self.generator = prob, deform_prob, generator
        self.grid = torch.empty(0)

    def randomize(
        self, images: Tensor, spatial_size: Sequence[int] | None = None, center: np.ndarray | float = 0.0
    ) -> None:
        """Draw the position from which each voxel is taken.

        Args:
            images: a batch ``(B, C, H, W[, D])``.
            spatial_size: spatial size of the warped maps, by default that of the images.
            center: what becomes the middle of the warped maps, in voxels from the middle of the images.
        """
        given = np.array(images.shape[2:])
        size = given if spatial_size is None else np.array(spatial_size)
        self.grid = torch.stack([self._positions(size, 2 / given, center) for _ in images]).to(images.device)

    def __call__(self, maps: Tensor, mode: str = "bilinear") -> Tensor:
        """Apply the drawn warps to ``maps`` ``(B, C, H, W[, D])`` of the same images.

        Args:
            maps: the maps.
            mode: interpolation, ``"bilinear"`` or ``"nearest"``.
        """
        plain = maps.as_subclass(Tensor)
        return F.grid_sample(plain, self.grid.to(plain.dtype), mode=mode, padding_mode="zeros", align_corners=False)

    def _positions(self, size: np.ndarray, unit: np.ndarray, center: np.ndarray | float) -> Tensor:
        """Positions ``(H, W[, D], dims)`` from which voxels are taken, in the coordinates of torch's ``grid_sample``.

        They are from -1 to 1 along each axis of the map, the last axis first. ``unit`` is the edge of a voxel.
        """
        affine = self._affine(size) if self._happens(self.prob) else np.eye(len(size), len(size) + 1)
        affine[:, -1] += center
        positions = _apply(np.flip(affine * unit[:, None], 0).copy(), size)
        return positions + self._displacements(size, unit) if self._happens(self.deform_prob) else positions

    def _affine(self, size: np.ndarray) -> np.ndarray:
        """Rotation, shear, shift and scaling ``(dims, dims + 1)`` in voxels, as in MONAI's ``AffineGrid``."""
        dims = len(size)
        turned = _rotation(self._draw(2 * dims - 3, self.rotate)) @ _shear(
            dims, self._draw(dims * (dims - 1), self.shear)
        )
        shift = turned @ (self._draw(dims, self.translate) * size)
        return np.concatenate([turned * (1 + self._draw(dims, self.scale)), shift[:, None]], axis=1)

    def _displacements(self, size: np.ndarray, unit: np.ndarray) -> Tensor:
        """Displacements in the coordinates and of the shape of :meth:`_positions`."""
        dims = len(size)
        coarse = self._draw(dims * COARSE**dims, self.deform).reshape(dims, -1) * np.flip(unit * size / 2)[:, None]
        coarse = torch.tensor(coarse, dtype=torch.float32).reshape(1, dims, *[COARSE] * dims)
        mode = "bilinear" if dims == 2 else "trilinear"
        return F.interpolate(coarse, size=tuple(size), mode=mode, align_corners=True)[0].movedim(0, -1)

    def _draw(self, number: int, most: float) -> np.ndarray:
        return most * (2 * torch.rand(number, generator=self.generator, dtype=torch.float64).numpy() - 1)

    def _happens(self, prob: float) -> bool:
        return torch.rand((), generator=self.generator).item() < prob


def _rotation(angles: np.ndarray) -> np.ndarray:
    """A rotation in the plane by one angle, or about three axes by three."""
    if len(angles) == 3:
        about_axes: np.ndarray = Rotation.from_euler("XYZ", angles).as_matrix()
        return about_axes
    cos, sin = np.cos(angles[0]), np.sin(angles[0])
    return np.array([[cos, -sin], [sin, cos]])


def _shear(dims: int, amounts: np.ndarray) -> np.ndarray:
    """One shear after the other, for each pair of axes."""
    matrix = np.eye(dims)
    for (axis, along), amount in zip(permutations(range(dims), 2), amounts, strict=True):
        matrix[axis] += amount * matrix[along]
    return matrix


def _apply(matrix: np.ndarray, size: np.ndarray) -> Tensor:
    """Apply a matrix ``(dims, dims + 1)`` to the voxels of a map. This is several times as fast as ``affine_grid``."""
    dims = len(size)
    positions = torch.tensor(matrix[:, dims], dtype=torch.float32)
    for axis in reversed(range(dims)):
        along = torch.arange(int(size[axis]), dtype=torch.float32) - (int(size[axis]) - 1) / 2
        step = along[:, None] * torch.tensor(matrix[:, axis], dtype=torch.float32)
        positions = step.view(-1, *[1] * (dims - 1 - axis), dims) + positions
    return positions
