"""Sizes, spacings and intensities of a data set, measured on its training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from tqdm import tqdm

from semicl_monai.data.foreground import check_annotated
from semicl_monai.data.images import image_files
from semicl_monai.data.listing import listing
from semicl_monai.utils import InputError
from semicl_monai.utils.nifti import (
    Space,
    affine_in_mm,
    check_intensities,
    check_replace_nan,
    check_same_space,
    naming,
    open_nifti,
    read_voxels,
    whole_numbers,
    without_nan,
)

SAMPLES = 10_000  # foreground voxels per case, for the statistics


@dataclass(frozen=True)
class Fingerprint:
    """Sizes, spacings and intensities of the training images of a data set.

    Attributes:
        channels: number of channels of every image.
        shapes: voxels along x, y and z of each training image, in RAS order, shape ``(cases, 3)``.
        spacings: mm along the same axes, shape ``(cases, 3)``.
        label_values: sorted values of the training labels, without background.
        foreground: intensities of foreground voxels of each labelled training image, each of shape
            ``(voxels, channels)``.
    """

    channels: int
    shapes: np.ndarray
    spacings: np.ndarray
    label_values: tuple[int, ...]
    foreground: tuple[np.ndarray, ...]

    def pooled(self) -> np.ndarray:
        """Foreground intensities of all labelled images, shape ``(voxels, channels)``."""
        return np.concatenate(self.foreground)

    def is_calibrated(self) -> bool:
        """Whether all cases share one intensity scale, as in CT.

        Then the mean intensities of the cases differ less than the voxels within a case. For a single case the result
        is ``False``, because there is nothing to compare.
        """
        means = np.stack([values.mean(0) for values in self.foreground])
        within = np.stack([values.std(0) for values in self.foreground]).mean(0)
        return len(means) > 1 and bool((means.std(0) < within).all())


def take_fingerprint(
    training: Sequence[Mapping[str, Any]],
    labelled: Sequence[Mapping[str, Any]],
    replace_nan: float | None = None,
    ignore_value: int | None = None,
) -> Fingerprint:
    """Measure training images, and refuse images or labels that a later stage would refuse.

    All headers are read before the first voxels.

    Args:
        training: records of all training images, ``{"image", "case"}``.
        labelled: records of the training images whose labels may be used, ``{"image", "label", "case"}``.
        replace_nan: a number that replaces NaN in an image. By default an image with NaN is refused.
        ignore_value: label value of voxels that are not annotated. They are neither foreground nor of a class.

    Raises:
        InputError: When an image or a label cannot be used:

            * A file cannot be read.
            * Images differ in their number of channels.
            * The files of one image differ in shape or affine.
            * An image is constant or holds numbers that are not finite.
            * A label differs from its image in shape or affine.
            * A label holds numbers that are not whole.
            * A label holds only voxels to ignore, or no label has any foreground.
    """
    replace_nan = check_replace_nan(replace_nan)
    labels = {record["case"]: record["label"] for record in labelled}
    with tqdm(training, desc="Reading headers") as records:
        headers = [_header(record, labels.get(record["case"])) for record in records]
    channels = headers[0][0]
    for record, header in zip(training, headers, strict=True):
        if header[0] != channels:
            first = training[0]["case"]
            raise InputError(f"case {record['case']}: wanted {channels} channel(s) as in {first}, got {header[0]}.")
    with tqdm(training, desc="Reading voxels") as records:
        found = [_voxels(record, labels.get(record["case"]), replace_nan, ignore_value) for record in records]
    check_annotated([r["case"] for r, (_, values) in zip(training, found, strict=True) if values == {ignore_value}])
    foreground = tuple(values for values, _ in found if len(values))
    if not foreground:
        raise InputError("no label of a training image has any foreground (> 0).")
    shapes, spacings = (np.array([header[part] for header in headers]) for part in (1, 2))
    label_values = {value for _, values in found for value in values} - {0, ignore_value}
    return Fingerprint(channels, shapes, spacings, tuple(sorted(label_values)), foreground)


def _header(record: Mapping[str, Any], label: str | None) -> tuple[int, np.ndarray, np.ndarray]:
    """Channels, shape and spacing of an image in RAS order; its files and label must lie in one space."""
    files = image_files(record["image"])
    space, channels = _space(record, "image", files[0], several=len(files) == 1)
    for file in files[1:]:
        other, _ = _space(record, "image", file)
        with naming(f"{_where(record, 'image', file)} beside {files[0]}"):
            check_same_space(space, other)
    if label is not None:
        other, _ = _space(record, "label", label)
        with naming(f"{_where(record, 'label', label)} of {files[0]}"):
            check_same_space(space, other)
    order = np.argsort(io_orientation(space.affine)[:, 0])
    spacing = nib.affines.voxel_sizes(space.affine)[order]
    return max(channels, len(files)), np.array(space.shape)[order], spacing


def _space(record: Mapping[str, Any], key: str, file: str, several: bool = False) -> tuple[Space, int]:
    """Space and number of channels of a file; ``several`` allows more than one channel."""
    with naming(_where(record, key, file)):
        image = open_nifti(file)
        channels = image.shape[3] if image.ndim == 4 else 1
        if image.ndim not in (3, 4) or (channels > 1 and not several):
            wanted = "3-D" if several else "3-D with one channel"
            raise InputError(f"must be {wanted}, got the shape {image.shape}.")
    return Space(image.shape[:3], affine_in_mm(image), image.header, file), channels


def _voxels(
    record: Mapping[str, Any], label: str | None, replace_nan: float | None, ignore_value: int | None
) -> tuple[np.ndarray, set[int]]:
    """Intensities of some foreground voxels and all label values; both are empty without a label."""
    image = _intensities(record, replace_nan)
    if label is None:
        return np.empty((0, image.shape[3])), set()
    numbers, values = _label(record, label)
    inside = image[numbers > 0 if ignore_value is None else (numbers > 0) & (numbers != ignore_value)]
    drawn = np.random.default_rng(0).permutation(len(inside))[:SAMPLES]
    return inside[drawn].astype(np.float64), {int(value) for value in values}


def _intensities(record: Mapping[str, Any], replace_nan: float | None) -> np.ndarray:
    """Voxels of an image as networks see them, ``(x, y, z, channels)``."""
    files, volumes = image_files(record["image"]), []
    for file in files:
        with naming(_where(record, "image", file)):
            volume = np.asarray(without_nan(read_voxels(open_nifti(file)), replace_nan), np.float32)
        volumes.append(volume if volume.ndim == 4 else volume[..., None])
    image = volumes[0] if len(volumes) == 1 else np.concatenate(volumes, axis=-1)
    with naming(_where(record, "image", files[0])):
        check_intensities(image)
    return image


def _label(record: Mapping[str, Any], file: str) -> tuple[np.ndarray, np.ndarray]:
    """Voxels of a label, ``(x, y, z)``, and the values among them."""
    with naming(_where(record, "label", file)):
        numbers = whole_numbers(read_voxels(open_nifti(file)))
        values = np.unique(numbers)
        wrong = values[~(np.isfinite(values) & (values >= 0) & (values == values.round()))]
        if len(wrong):
            shown = listing([f"{value:g}" for value in wrong.tolist()])
            raise InputError(f"must hold whole numbers from 0, got {shown}.")
    return numbers.reshape(numbers.shape[:3]), values


def _where(record: Mapping[str, Any], key: str, file: str) -> str:
    return f"case {record['case']}: {key} file {file}"
