"""Load a case and refuse what no network should see."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import LoadImaged

from semicl_monai.utils import InputError

AFFINE_TOLERANCE = 1e-3  # mm, for the rounding of two NIfTI headers


class LoadCased(LoadImaged):
    """Load image and label of a case as channel-first float32 tensors, and check that they can be used.

    A :class:`monai.transforms.LoadImaged` for NIfTI files whose every refusal is one line that names the file. Sample
    keys stay as they are; the tensors keep their metadata (``filename_or_obj``, affine), so that results can be saved
    in the space of the image.

    Args:
        keys: ``"image"``, or ``("image", "label")``.
        num_classes: number of classes with background: a label holds whole numbers from 0 to ``num_classes - 1``.
        in_channels: channels of the image: 1 for a 3-D file, the size of the fourth axis for a 4-D file.
        image_key: which of ``keys`` is the image.
        label_key: which of ``keys`` is the label.
        allow_missing_keys: whether a sample may lack one of ``keys``, as an unlabelled one lacks its label.

    Raises:
        InputError: When a key is neither image nor label, or ``num_classes`` or ``in_channels`` is too small.

    Example:
        >>> load = LoadCased(keys=("image", "label"), num_classes=3)
        >>> load({"image": "hippocampus_003.nii.gz", "label": "nowhere.nii.gz"})
        Traceback (most recent call last):
        semicl_monai.utils.errors.InputError: case hippocampus_003: image file hippocampus_003.nii.gz is not there.
    """

    def __init__(
        self,
        keys: KeysCollection,
        num_classes: int,
        in_channels: int = 1,
        image_key: str = "image",
        label_key: str = "label",
        *,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, image_only=True, ensure_channel_first=True, allow_missing_keys=allow_missing_keys)
        unknown = [key for key in self.keys if key not in (image_key, label_key)]
        if unknown:
            raise InputError(f"keys must be '{image_key}' or '{label_key}', got {unknown[0]!r}.")
        if num_classes < 2:
            raise InputError(f"num_classes must be at least 2, got {num_classes}.")
        if in_channels < 1:
            raise InputError(f"in_channels must be at least 1, got {in_channels}.")
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.image_key = image_key
        self.label_key = label_key

    def __call__(self, data: Mapping[Hashable, Any], reader: ImageReader | None = None) -> dict[Hashable, Any]:
        """Load and check one case.

        Args:
            data: a sample with the path of a file under each key; ``"case"``, where there is one, names it in errors.
            reader: as in :class:`monai.transforms.LoadImaged`.

        Returns:
            The sample with the image ``(C, H, W, D)`` and the label ``(1, H, W, D)`` in place of their paths.

        Raises:
            InputError: When a file is missing, truncated or not NIfTI; when the image is not 3-D, has another number
                of channels than ``in_channels``, is constant or has voxels that are not finite; when the label has
                another shape or affine than the image, or other values than ``num_classes`` allows.
        """
        sample = dict(data)
        for key in self.key_iterator(sample):
            sample[key] = self._load(data[key], _where(data, key), reader)
        loaded = set(self.key_iterator(data))
        if self.image_key in loaded:
            self._check_image(sample[self.image_key], _where(data, self.image_key))
        if self.label_key in loaded:
            self._check_label(sample[self.label_key], _where(data, self.label_key))
        if {self.image_key, self.label_key} <= loaded:
            _check_same_space(
                sample[self.image_key],
                sample[self.label_key],
                f"{_where(data, self.label_key)} of {data[self.image_key]}",
            )
        return sample

    def _load(self, file: str | os.PathLike, where: str, reader: ImageReader | None) -> MetaTensor:
        path = Path(file).expanduser()
        if not path.is_file():
            raise InputError(f"{where} is not there.")
        if not path.name.endswith((".nii", ".nii.gz")):
            raise InputError(f"{where} must be NIfTI (.nii or .nii.gz).")
        try:
            loaded = self._loader(path, reader)
        except Exception as error:  # what a broken file makes nibabel and zlib raise is no closed list
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{where} cannot be read as NIfTI: {type(error).__name__}: {reason}") from error
        return loaded if self._loader.image_only else loaded[0]  # MONAI Label asks for the metadata apart

    def _check_image(self, image: MetaTensor, where: str) -> None:
        if image.ndim != 4 or image.shape[0] != self.in_channels or 0 in image.shape:
            wanted = f"3-D with {self.in_channels} channel(s)"
            raise InputError(f"{where} must be {wanted}, got the channel-first shape {tuple(image.shape)}.")
        num_broken = int((~torch.isfinite(image)).sum())
        if num_broken:
            raise InputError(f"{where} must hold finite numbers, got NaN or infinity in {num_broken} voxel(s).")
        if image.min() == image.max():
            raise InputError(f"{where} must not be constant, got {image.min().item():g} in every voxel.")

    def _check_label(self, label: MetaTensor, where: str) -> None:
        if label.ndim != 4 or label.shape[0] != 1:
            raise InputError(f"{where} must be 3-D with one channel, got the channel-first shape {tuple(label.shape)}.")
        wrong = (label != label.round()) | (label < 0) | (label >= self.num_classes)  # NaN differs from itself
        if wrong.any():
            values = torch.unique(label[wrong]).tolist()
            shown = ", ".join(f"{value:g}" for value in values[:5]) + (", ..." if len(values) > 5 else "")
            wanted = f"whole numbers from 0 to {self.num_classes - 1}"
            raise InputError(f"{where} must hold {wanted}, got {shown} in {int(wrong.sum())} voxel(s).")


def _where(data: Mapping[Hashable, Any], key: Hashable) -> str:
    case = data.get("case") or Path(data[key]).name.removesuffix(".gz").removesuffix(".nii")
    return f"case {case}: {key} file {data[key]}"


def _check_same_space(image: MetaTensor, label: MetaTensor, where: str) -> None:
    if image.shape[1:] != label.shape[1:]:
        raise InputError(f"{where} must have its shape {tuple(image.shape[1:])}, got {tuple(label.shape[1:])}.")
    difference = (image.affine - label.affine).abs().max().item()
    if not difference <= AFFINE_TOLERANCE:  # NaN included
        raise InputError(
            f"{where} must have its affine to within {AFFINE_TOLERANCE:g}, got a difference of {difference:g}."
        )
