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
    """Flip, rotate, scale, shear, shift and deform every image of a batch, and other maps of it in the same way.

    Amounts are drawn uniformly, and the affine map is that of :class:`monai.transforms.RandAffine`. Affine map and
    deformation are one resampling. Values beyond the border of a map are zero.

    Args:
        rotate: largest angle about each axis, in radians.
        scale: largest relative change of each edge.
        zoom: largest relative change of the size, which is the same along all axes. An image gets larger as often as
            smaller: the logarithm of the factor is uniform between ``-log(1 + zoom)`` and ``log(1 + zoom)``.
        shear: largest shear along each axis.
        translate: largest shift along each axis, as a share of the edge.
        prob: probability that an image is rotated, scaled, sheared and shifted.
        deform: largest displacement of a deformation along each axis, as a share of half the edge. Displacements are
            drawn on a grid of four points along each axis and interpolated linearly between the points.
        deform_prob: probability that an image is deformed.
        flip_prob: probability that an image is flipped first.
        flip_axis: spatial axis along which it is flipped.
        rotate90_prob: probability that an image is rotated by 90, 180 or 270 degrees, in its planes across
            ``thick_axis``, or across the last axis if there is none.
        thick_axis: axis of thick slices in 3-D. An image is rotated, scaled, sheared, shifted and deformed only within
            the planes across this axis. By default there is none.
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
        flip_prob: float = 0.0,
        flip_axis: int = 0,
        thick_axis: int | None = None,
        zoom: float = 0.0,
        rotate90_prob: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        amounts = {"rotate": rotate, "scale": scale, "shear": shear, "translate": translate, "deform": deform}
        amounts["zoom"] = zoom
        for name, amount in amounts.items():
            if amount < 0:
                raise InputError(f"{name} must not be negative, got {amount}.")
        chances = {"prob": prob, "deform_prob": deform_prob, "flip_prob": flip_prob, "rotate90_prob": rotate90_prob}
        for name, chance in chances.items():
            if not 0 <= chance <= 1:
                raise InputError(f"{name} must be between 0 and 1, got {chance}.")
        self.rotate, self.scale, self.shear, self.translate, self.deform, self.zoom = amounts.values()
        self.prob, self.deform_prob, self.flip_prob, self.rotate90_prob = chances.values()
        self.flip_axis, self.thick_axis = flip_axis, thick_axis
        self.generator = generator
        self.grid = torch.empty(0)

    def randomize(
        self, images: Tensor, spatial_size: Sequence[int] | None = None, center: np.ndarray | float = 0.0
    ) -> None:
        """Draw the position from which each voxel is taken.

        Args:
            images: a batch ``(B, C, H, W[, D])``.
            spatial_size: spatial size of the warped maps, by default that of the images.
            center: what becomes the middle of the warped maps, in voxels from the middle of the images; one place
                ``(dims,)``, or one of each image ``(B, dims)``.
        """
        count, given = len(images), np.array(images.shape[2:])
        size = given if spatial_size is None else np.array(spatial_size)
        affine = self._affine(count, size)
        affine[~self._happens(count, self.prob)] = np.eye(len(size), len(size) + 1)
        affine[self._happens(count, self.flip_prob), self.flip_axis] *= -1
        affine = self._quarter_turns(count, len(size)) @ affine
        affine[..., -1] += center
        unit = 2 / given  # edge of a voxel in the coordinates of grid_sample
        grid = _apply(np.flip(affine * unit[:, None], 1).copy(), size)
        deformed = np.flatnonzero(self._happens(count, self.deform_prob))
        if len(deformed):
            grid[deformed] += self._displacements(len(deformed), size, unit)
        self.grid = grid.to(images.device)

    def __call__(self, maps: Tensor, mode: str = "bilinear") -> Tensor:
        """Apply the drawn warps to ``maps`` ``(B, C, H, W[, D])`` of the same images.

        Args:
            maps: the maps.
            mode: interpolation, ``"bilinear"`` or ``"nearest"``.
        """
        plain = maps.as_subclass(Tensor)
        return F.grid_sample(plain, self.grid.to(plain.dtype), mode=mode, padding_mode="zeros", align_corners=False)

    def _affine(self, count: int, size: np.ndarray) -> np.ndarray:
        """Rotations, shears, shifts and scalings ``(B, dims, dims + 1)`` in voxels, as in MONAI's ``AffineGrid``."""
        dims = len(size)
        moved = self._moved(dims)
        # only a rotation about the thick axis and shears between the other axes stay within the planes
        about = np.ones(1) if dims == 2 or self.thick_axis is None else 1 - moved
        sheared = np.array([moved[axis] * moved[along] for axis, along in permutations(range(dims), 2)])
        rotation = _rotation(self._draw(count, 2 * dims - 3, self.rotate) * about)
        turned = rotation @ _shear(dims, self._draw(count, dims * (dims - 1), self.shear) * sheared)
        shift = turned @ (self._draw(count, dims, self.translate) * moved * size)[..., None]
        scale = (1 + self._draw(count, dims, self.scale) * moved) * self._zooms(count) ** moved
        return np.concatenate([turned * scale[:, None], shift], axis=2)

    def _zooms(self, count: int) -> np.ndarray:
        if not self.zoom:  # so that warps without it draw the numbers that they drew before it was there
            return np.ones((count, 1))
        factors: np.ndarray = (1 + self.zoom) ** self._draw(count, 1, 1.0)
        return factors

    def _quarter_turns(self, count: int, dims: int) -> np.ndarray:
        """Rotations ``(B, dims, dims)`` by none to three times 90 degrees."""
        turns = np.tile(np.eye(dims), (count, 1, 1))
        if self.rotate90_prob:  # so that warps without it draw the numbers that they drew before it was there
            quarters = torch.randint(1, 4, (count, 1), generator=self.generator).numpy()
            rotated = self._happens(count, self.rotate90_prob)[:, None]
            across = 2 if self.thick_axis is None else self.thick_axis
            plane = np.array([axis for axis in range(3) if axis != across]) if dims == 3 else np.arange(2)
            turns[:, plane[:, None], plane] = _rotation(quarters * rotated * np.pi / 2).round()
        return turns

    def _moved(self, dims: int) -> np.ndarray:
        """Return 1 for each axis along which voxels move, and 0 for the thick axis."""
        return np.array([float(axis != self.thick_axis) for axis in range(dims)])

    def _displacements(self, count: int, size: np.ndarray, unit: np.ndarray) -> Tensor:
        """Displacements ``(B, H, W[, D], dims)`` in the coordinates of torch's ``grid_sample``, the last axis first."""
        dims = len(size)
        coarse = self._draw(count, dims * COARSE**dims, self.deform).reshape(count, dims, *[COARSE] * dims)
        coarse = coarse * np.flip(self._moved(dims) * unit * size / 2).reshape(-1, *[1] * dims)
        mode = "bilinear" if dims == 2 else "trilinear"
        fine = F.interpolate(torch.tensor(coarse, dtype=torch.float32), tuple(size), mode=mode, align_corners=True)
        return fine.movedim(1, -1)

    def _draw(self, count: int, number: int, most: float) -> np.ndarray:
        drawn: np.ndarray = torch.rand(count, number, generator=self.generator, dtype=torch.float64).numpy()
        return most * (2 * drawn - 1)

    def _happens(self, count: int, prob: float) -> np.ndarray:
        drawn: np.ndarray = torch.rand(count, generator=self.generator).numpy()
        return drawn < prob


def _rotation(angles: np.ndarray) -> np.ndarray:
    """Rotations ``(B, dims, dims)`` in the plane by one angle each, or about three axes by three."""
    if angles.shape[1] == 3:
        about_axes: np.ndarray = Rotation.from_euler("XYZ", angles).as_matrix()
        return about_axes
    cos, sin = np.cos(angles[:, 0]), np.sin(angles[:, 0])
    return np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)


def _shear(dims: int, amounts: np.ndarray) -> np.ndarray:
    """One shear after the other, for each pair of axes: ``(B, dims, dims)``."""
    matrix = np.tile(np.eye(dims), (len(amounts), 1, 1))
    for (axis, along), amount in zip(permutations(range(dims), 2), amounts.T, strict=True):
        matrix[:, axis] += amount[:, None] * matrix[:, along]
    return matrix


def _apply(matrix: np.ndarray, size: np.ndarray) -> Tensor:
    """Apply matrices ``(B, dims, dims + 1)`` to the voxels of a map. It is several times as fast as ``affine_grid``."""
    dims = len(size)
    columns = torch.tensor(matrix, dtype=torch.float32).movedim(2, 0)  # (dims + 1, B, dims)
    positions = columns[dims].view(-1, *[1] * dims, dims)
    for axis in reversed(range(dims)):
        along = torch.arange(int(size[axis]), dtype=torch.float32) - (int(size[axis]) - 1) / 2
        step = along[:, None] * columns[axis][:, None]  # (B, edge, dims)
        positions = positions + step.view(len(matrix), *[1] * axis, -1, *[1] * (dims - 1 - axis), dims)
    return positions
