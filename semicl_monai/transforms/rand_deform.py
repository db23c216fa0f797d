"""Smooth deformations of samples that may lack a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import RandSmoothDeformd


class RandDeformd(RandSmoothDeformd):
    """A :class:`monai.transforms.RandSmoothDeformd` that takes ``allow_missing_keys``, as MONAI 1.6.1's does not.

    Displacements are drawn on a coarse grid, uniformly for each axis, and interpolated linearly.

    Args:
        keys: maps of shape ``(C, H, W[, D])`` to deform alike.
        spatial_size: their size.
        rand_size: size of the coarse grid.
        prob: probability that a sample is deformed.
        def_range: largest displacement, in half edges of the map.
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
        """Seed the choice of what is deformed and, apart from it, the displacements.

        MONAI seeds both alike: the number that has been small enough for a deformation is the first displacement too.
        """
        super().set_random_state(seed, state)
        self.trans.set_random_state(int(self.R.randint(2**31)))
        return self
