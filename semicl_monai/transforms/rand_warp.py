"""Random affine maps and smooth deformations of whole batches."""

from __future__ import annotations

import torch
from monai.transforms import AffineGrid
from torch import Tensor
from torch.nn import functional as F

from semicl_monai.utils import InputError


class RandWarp:
    """Rotate, scale, shear, shift and deform every image of a batch, and other maps of it in the same way.

    The data pipeline transforms an image and its label together. Here an image and the output of a network for it are
    transformed together. Values beyond the border of a map are zero.

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

    def randomize(self, images: Tensor) -> None:
        """Draw the position from which each voxel of a batch ``(B, C, H, W[, D])`` is taken."""
        size = images.shape[2:]
        with torch.autocast("cpu", enabled=False):  # half precision is too coarse for positions
            theta = torch.stack([self._theta(size) if self._happens(self.prob) else _same(len(size)) for _ in images])
            grid = F.affine_grid(theta, [len(images), 1, *size], align_corners=False)
            self.grid = (grid + torch.stack([self._field(size) for _ in images])).to(images.device)

    def __call__(self, maps: Tensor) -> Tensor:
        """Apply the drawn warps to ``maps`` ``(B, C, H, W[, D])`` of the same images."""
        plain = maps.as_subclass(Tensor)
        return F.grid_sample(plain, self.grid.to(plain.dtype), padding_mode="zeros", align_corners=False)

    def _theta(self, size: torch.Size) -> Tensor:
        """An affine map in the coordinates of grid_sample: from -1 to 1 along each axis, the last axis first."""
        dims, edges = len(size), torch.tensor(size, dtype=torch.float64)
        _, affine = AffineGrid(
            rotate_params=self._draw(1 if dims == 2 else 3, self.rotate).tolist(),  # in the plane, or about three axes
            shear_params=self._draw(dims * (dims - 1), self.shear).tolist(),
            translate_params=(self._draw(dims, self.translate) * edges).tolist(),
            scale_params=(1 + self._draw(dims, self.scale)).tolist(),
        )(size)
        affine = torch.as_tensor(affine, dtype=torch.float64)
        linear, shift = affine[:dims, :dims] * edges / edges[:, None], 2 * affine[:dims, dims] / edges
        return torch.cat([linear.flip(0, 1), shift.flip(0)[:, None]], dim=1).float()

    def _field(self, size: torch.Size) -> Tensor:
        """Displacements ``(H, W[, D], dims)``."""
        dims = len(size)
        if not self._happens(self.deform_prob):
            return torch.zeros(*size, dims)
        coarse = self._draw(dims * 4**dims, self.deform).reshape(1, dims, *[4] * dims)
        mode = "bilinear" if dims == 2 else "trilinear"
        return F.interpolate(coarse, size=size, mode=mode, align_corners=True)[0].movedim(0, -1)

    def _draw(self, number: int, most: float) -> Tensor:
        return most * (2 * torch.rand(number, generator=self.generator) - 1)

    def _happens(self, prob: float) -> bool:
        return torch.rand((), generator=self.generator).item() < prob


def _same(dims: int) -> Tensor:
    return torch.eye(dims, dims + 1)
