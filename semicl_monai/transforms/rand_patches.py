"""Draw 3-D patches from a volume."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple

from semicl_monai.utils import (
    ForegroundIndex,
    InputError,
    KeptVolumeTrait,
    annotated_voxel,
    foreground_of,
    foreground_voxel,
    random_round,
    unpack_volume,
    untracked,
)


# not monai.transforms.RandCropByLabelClassesd: it needs a label map and does not return the places of its patches
class RandPatchesd(Randomizable, MapTransform, KeptVolumeTrait):
    """Draw patches of a volume; with a label map, a share of them is centred on foreground.

    For each patch of this share, a class of the volume is drawn first, then a voxel of this class. If the share of
    ``num_samples`` is not a whole number, it is rounded up or down at random. A patch that would cross the border of
    the volume is moved inside. The other patches are drawn from the whole volume. If some voxels are not annotated
    (below 0), the other patches are centred on annotated voxels instead. Without a label map, all patches are drawn
    from the whole volume.

    Args:
        keys: maps of shape ``(C, H, W, D)``. All are cut at the same place.
        roi_size: size of a patch in voxels along the three axes.
        num_samples: number of patches to draw from a volume.
        label_key: label map with the classes (> 0). It may be missing in a sample. With ``None``, none is used.
        foreground: share of patches that are centred on foreground, 0 to 1. It has no effect if the volume has no
            foreground.
        allow_missing_keys: whether keys may be missing in a sample.

    Returns:
        A list of ``num_samples`` samples whose maps have shape ``(C, *roi_size)``. Other entries of the sample are
        kept. ``place`` ``(3,)`` is the start of the patch, counted from 0 along each axis. ``num_places`` ``(3,)`` is
        the number of possible starts.

    Raises:
        InputError: When ``roi_size`` is not three positive numbers, ``num_samples`` or ``foreground`` is out of its
            range, or a volume is smaller than a patch.

    References:
        Isensee et al., nnU-Net, Nature Methods 2021, supplementary note 2 (oversampling of foreground).
        https://doi.org/10.1038/s41592-020-01008-z

    Example:
        >>> draw = RandPatchesd("image", roi_size=(8, 8, 4), num_samples=2).set_random_state(0)
        >>> [sample["image"].shape for sample in draw({"image": torch.zeros(1, 8, 12, 6)})][0]
        torch.Size([1, 8, 8, 4])
    """

    def __init__(
        self,
        keys: KeysCollection,
        roi_size: Sequence[int],
        num_samples: int = 1,
        label_key: str | None = "label",
        foreground: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if len(ensure_tuple(roi_size)) != 3 or min(roi_size) < 1:
            raise InputError(f"roi_size must be three positive numbers, got {list(ensure_tuple(roi_size))}.")
        if num_samples < 1:
            raise InputError(f"num_samples must be at least 1, got {num_samples}.")
        if not 0 <= foreground <= 1:
            raise InputError(f"foreground must be between 0 and 1, got {foreground}.")
        self.roi_size, self.num_samples = np.array(roi_size), num_samples
        self.label_key, self.foreground = label_key, foreground
        self.places: list[np.ndarray] = []

    def randomize(self, data: Mapping[Hashable, torch.Tensor]) -> None:
        """Draw the starts of the patches of one sample."""
        num_places, index = self._num_places(data), foreground_of(data, self.label_key)
        voxels = self._draw_voxels(data, index)
        others = self.num_samples - len(voxels)
        if index is not None and index["num_annotated"].any():
            label = torch.as_tensor(data[self.label_key])[0]
            voxels += [self._draw_annotated(label, index) for _ in range(others)]
            others = 0
        anywhere = [self.R.randint(num_places) for _ in range(others)]
        self.places = [*(self._around(voxel, num_places) for voxel in voxels), *anywhere]

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> list[dict[Hashable, Any]]:
        """Draw patches from ``data``."""
        self.randomize(data)
        num_places = torch.as_tensor(self._num_places(data))
        patches = []
        for place in self.places:
            sample = {**data, "place": torch.as_tensor(place), "num_places": num_places}
            window = [slice(start, start + size) for start, size in zip(place, self.roi_size, strict=True)]
            for key in self.key_iterator(data):
                sample[key] = untracked(data[key])[(slice(None), *window)].clone()
            patches.append(unpack_volume(sample))
        return patches

    def _num_places(self, data: Mapping[Hashable, torch.Tensor]) -> np.ndarray:
        size = np.array(data[self.first_key(dict(data))].shape[1:])
        if (size < self.roi_size).any():
            raise InputError(f"volumes must be at least as large as patches of {self.roi_size.tolist()}, got {size}.")
        return size - self.roi_size + 1

    def _draw_voxels(self, data: Mapping[Hashable, torch.Tensor], index: ForegroundIndex | None) -> list[np.ndarray]:
        if index is None or not len(index["values"]):
            return []
        label = torch.as_tensor(data[self.label_key])[0]
        return [self._draw_voxel(label, index) for _ in range(random_round(self.foreground * self.num_samples, self.R))]

    def _draw_voxel(self, label: torch.Tensor, index: ForegroundIndex) -> np.ndarray:
        class_number = self.R.randint(len(index["values"]))
        number = self.R.randint(int(index["counts"][class_number].sum()))
        return np.array(foreground_voxel(label, index, class_number, number))

    def _draw_annotated(self, label: torch.Tensor, index: ForegroundIndex) -> np.ndarray:
        number = self.R.randint(int(index["num_annotated"].sum()))
        return np.array(annotated_voxel(label, index, number))

    def _around(self, voxel: np.ndarray, num_places: np.ndarray) -> np.ndarray:
        return (voxel - self.roi_size // 2).clip(0, num_places - 1)
