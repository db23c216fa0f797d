"""Smooth deformations of samples that may lack a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import RandSmoothDeformd


class RandDeformd(RandSmoothDeformd):
    """A :class:`monai.transforms.RandSmoothDeformd` with ``allow_missing_keys``, which MONAI 1.6.1 does not have.

    Displacements are drawn uniformly for each axis on a coarse grid. Between the grid points they are interpolated
    linearly.

    Args:
        keys: maps of shape ``(C, H, W[, D])``. All get the same deformation.
        spatial_size: spatial size of the maps.
        rand_size: size of the coarse grid.
        prob: probability that a sample is deformed.
        def_range: largest displacement, as a share of half the edge of the map.
        grid_mode: interpolation of each of ``keys``.
        allow_missing_keys: whether keys may be missing in a sample.
        kwargs: other arguments of :class:`monai.transforms.RandSmoothDeformd`.

    Example:
        >>> import torch
        >>> deform = RandDeformd("image", spatial_size=(8, 8), rand_size=(3, 3), prob=1.0, def_range=0.2)
        >>> deform({"image": torch.rand(1, 8, 8)})["image"].shape
        torch.Size([1, 8, 8])
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        rand_size: Sequence[int],
        prob: float = 0.3,
        def_range: float = 0.2,
        grid_mode: str | Sequence[str] = "bilinear",
        allow_missing_keys: bool = False,
        **kwargs: Any,
    ) -> None:
        field_mode = "bilinear" if len(spatial_size) == 2 else "trilinear"
        given = {"prob": prob, "def_range": def_range, "grid_mode": grid_mode, **kwargs}
        super().__init__(keys, spatial_size, rand_size, field_mode=field_mode, **given)
        self.allow_missing_keys = allow_missing_keys

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandDeformd:
        """Seed the choice of the samples to deform, and seed the displacements independently of it.

        MONAI uses the same seed for both. The random number that decides on the deformation would then also be the
        first displacement.
        """
        super().set_random_state(seed, state)
        self.trans.set_random_state(int(self.R.randint(2**31)))
        return self
