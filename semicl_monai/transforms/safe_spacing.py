"""Resample the volumes of a sample, whatever other entries it holds."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import Spacingd

from semicl_monai.utils import InputError


class SafeSpacingd(Spacingd):
    """Resample volumes to a voxel size; other entries of the sample may have any name.

    Since MONAI 1.6.0, :class:`monai.transforms.Spacingd` treats every entry named ``<key>_...`` as metadata. It fails
    if the entry is something else, such as the ``image_path`` that MONAI Label adds. This class gives Spacingd only
    ``keys`` and dictionaries.

    Args:
        keys: volumes ``(C, H, W, D)`` to resample.
        pixdim: the wanted voxel size along each axis in mm, three positive numbers.
        args: as in :class:`monai.transforms.Spacingd`.
        kwargs: as in :class:`monai.transforms.Spacingd`. Positions are computed in ``dtype`` (default ``float64``),
            here and in the inverse. ``torch.float32`` halves the memory.

    Raises:
        InputError: When ``pixdim`` is not three positive numbers.

    Example:
        >>> from monai.data import MetaTensor
        >>> image = MetaTensor(torch.rand(1, 8, 8, 4), affine=torch.diag(torch.tensor([1.0, 1.0, 3.0, 1.0])))
        >>> SafeSpacingd("image", pixdim=(2, 2, 2))({"image": image, "image_path": "a.nii.gz"})["image"].shape
        torch.Size([1, 4, 4, 6])
    """

    def __init__(self, keys: KeysCollection, pixdim: Sequence[float], *args: Any, **kwargs: Any) -> None:
        if not _is_voxel_size(pixdim):
            raise InputError(f"pixdim must be three positive numbers (mm), got {pixdim}.")
        super().__init__(keys, pixdim, *args, **kwargs)

    def __call__(self, data: Mapping[Hashable, Any], lazy: bool | None = None) -> dict[Hashable, torch.Tensor]:
        """Resample the volumes of ``data``; see :meth:`monai.transforms.Spacingd.__call__`."""
        shown = {name: value for name, value in data.items() if name in self.keys or isinstance(value, dict)}
        return {**data, **super().__call__(shown, lazy)}


def _is_voxel_size(pixdim: Any) -> bool:
    try:
        return len(pixdim) == 3 and all(0 < float(size) < math.inf for size in pixdim)
    except (TypeError, ValueError):
        return False
