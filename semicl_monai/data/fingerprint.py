"""Sizes, spacings and intensities of a data set, measured on its training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from scipy import ndimage
from tqdm import tqdm

from semicl_monai.data.foreground import check_annotated
from semicl_monai.data.images import image_files
from semicl_monai.data.listing import listing
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import (
    Volume,
    class_numbers,
    format_name,
    into_grid,
    is_of_frames,
    may_be_moved,
    open_volume,
)
from semicl_monai.utils.nifti import (
    Space,
    check_intensities,
    check_replace_nan,
    check_same_space,
    naming,
    whole_numbers,
    without_nan,
)

SPECKS = 0.01  # of the foreground, at most, that may lie apart
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
        in_one_piece: whether the foreground of every label is connected, but for specks of less than a hundredth of it.
            It is unknown, and ``False``, if voxels are not annotated.
        extents: mm along the same axes of the box around the foreground of each labelled training image, shape
            ``(labelled cases, 3)``. They are unknown, and ``None``, if voxels are not annotated.
    """

    channels: int
    shapes: np.ndarray
    spacings: np.ndarray
    label_values: tuple[int, ...]
    foreground: tuple[np.ndarray, ...]
    in_one_piece: bool = False
    extents: np.ndarray | None = None

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
    names: Mapping[int, str] | None = None,
    allow_gaps: bool = False,
    ignore_value: int | None = None,
) -> Fingerprint:
    """Measure training images, and refuse images or labels that a later stage would refuse.

    All headers are read before the first voxels.

    Args:
        training: records of all training images, ``{"image", "case"}``.
        labelled: records of the training images whose labels may be used, ``{"image", "label", "case"}``.
        replace_nan: a number that replaces NaN in an image. By default an image with NaN is refused.
        names: names of the label values without background. Labels of named segments are read by them.
        allow_gaps: whether the slices of a DICOM series may lie at uneven distances.
        ignore_value: label value of voxels that are not annotated. They are neither foreground nor of a class.

    Raises:
        InputError: When an image or a label cannot be used:

            * A file cannot be read.
            * Images differ in their number of channels.
            * The files of one image differ in shape or affine.
            * An image is constant or holds numbers that are not finite.
            * A label differs from its image in shape or affine.
            * A segment of a label has no class of its name.
            * A label holds numbers that are not whole.
            * A label holds only voxels to ignore, or no label has any foreground.
    """
    replace_nan = check_replace_nan(replace_nan)
    labels = {record["case"]: record["label"] for record in labelled}
    cases = [_Case(record, labels.get(record["case"]), names or {}, allow_gaps, ignore_value) for record in training]
    with tqdm(cases, desc="Reading headers") as bar:
        headers = [case.header() for case in bar]
    channels = headers[0][0]
    for record, header in zip(training, headers, strict=True):
        if header[0] != channels:
            first = training[0]["case"]
            raise InputError(f"case {record['case']}: wanted {channels} channel(s) as in {first}, got {header[0]}.")
    with tqdm(cases, desc="Reading voxels") as bar:
        found = [case.voxels(replace_nan) for case in bar]
    check_annotated([r["case"] for r, one in zip(training, found, strict=True) if one.values == {ignore_value}])
    foreground = tuple(one.intensities for one in found if len(one.intensities))
    if not foreground:
        raise InputError("no label of a training image has any foreground (> 0).")
    shapes, spacings = (np.array([header[part] for header in headers]) for part in (1, 2))
    label_values = {value for one in found for value in one.values} - {0, ignore_value}
    complete = ignore_value is None
    one_piece = complete and all(one.in_one_piece for one in found)
    extents = np.array([one.extent for one in found if one.extent is not None]) if complete else None
    return Fingerprint(channels, shapes, spacings, tuple(sorted(label_values)), foreground, one_piece, extents)


def is_in_one_piece(foreground: np.ndarray) -> bool:
    """Return whether a mask is connected, corners included, but for specks of less than a hundredth of its voxels."""
    pieces, _ = ndimage.label(foreground, ndimage.generate_binary_structure(foreground.ndim, foreground.ndim))
    sizes = np.bincount(pieces.ravel())[1:]
    return bool(sizes.sum() - sizes.max(initial=0) <= SPECKS * sizes.sum())


@dataclass(frozen=True)
class _Voxels:
    """What is kept of the voxels of a case."""

    intensities: np.ndarray
    values: set[int]
    in_one_piece: bool
    extent: np.ndarray | None = None  # mm, in RAS order


@dataclass(frozen=True)
class _Case:
    """The image of a training case and its label, which is ``None`` where it may not be used."""

    record: Mapping[str, Any]
    label: str | None
    names: Mapping[int, str]
    allow_gaps: bool
    ignore_value: int | None

    def header(self) -> tuple[int, np.ndarray, np.ndarray]:
        """Channels, shape and spacing of the image in RAS order; its files and label must lie in one space."""
        files = image_files(self.record["image"])
        first = self._open("image", files[0], several=len(files) == 1)
        space = first.space
        for file in files[1:]:
            other = self._open("image", file)
            with naming(f"{self._where('image', file)} beside {files[0]}"):
                check_same_space(space, other.space)
        if self.label is not None:
            label = self._open("label", self.label)
            with naming(f"{self._where('label', self.label)} of {files[0]}"):
                if not may_be_moved(label.space, space, label.segments is not None):
                    check_same_space(space, label.space)
        spacing = _along_ras(nib.affines.voxel_sizes(space.affine), space)
        return max(first.channels, len(files)), _along_ras(np.array(space.shape), space), spacing

    def voxels(self, replace_nan: float | None) -> _Voxels:
        """Intensities of some foreground voxels and the label values; both are empty without a label."""
        image = self._intensities(replace_nan)
        if self.label is None:
            return _Voxels(np.empty((0, image.shape[3])), set(), True)
        numbers, values = self._numbers(self.label)
        foreground = (numbers > 0) & (numbers != (0 if self.ignore_value is None else self.ignore_value))
        inside = image[foreground]
        drawn = np.random.default_rng(0).permutation(len(inside))[:SAMPLES]
        intensities, label_values = inside[drawn].astype(np.float64), {int(value) for value in values}
        return _Voxels(intensities, label_values, is_in_one_piece(foreground), self._extent(foreground))

    def _extent(self, foreground: np.ndarray) -> np.ndarray | None:
        boxes = ndimage.find_objects(foreground.astype(np.uint8))
        if not boxes:
            return None
        space = self._open("image", image_files(self.record["image"])[0], several=True).space
        edges = np.array([side.stop - side.start for side in boxes[0]])
        return _along_ras(edges * nib.affines.voxel_sizes(space.affine), space)

    def _open(self, key: str, file: str, several: bool = False) -> Volume:
        """A file with its header checked; ``several`` allows more than one channel."""
        with naming(self._where(key, file), format_name(file)):
            volume = open_volume(file, self.allow_gaps)
            if len(volume.shape) not in (3, 4) or (volume.channels > 1 and not several):
                wanted = "3-D" if several else "3-D with one channel"
                raise InputError(f"must be {wanted}, got the shape {volume.shape}.")
        return volume

    def _intensities(self, replace_nan: float | None) -> np.ndarray:
        """Voxels of the image as networks see them, ``(x, y, z, channels)``."""
        files, volumes = image_files(self.record["image"]), []
        for file in files:
            with naming(self._where("image", file), format_name(file)):
                opened = open_volume(file, self.allow_gaps)
                volume = np.asarray(without_nan(opened.read(), replace_nan), np.float32)
                opened.tell()
            volumes.append(volume if volume.ndim == 4 else volume[..., None])
        image = volumes[0] if len(volumes) == 1 else np.concatenate(volumes, axis=-1)
        with naming(self._where("image", files[0])):
            check_intensities(image)
        return image

    def _numbers(self, file: str) -> tuple[np.ndarray, np.ndarray]:
        """Voxels of the label in the grid of the image, ``(x, y, z)``, and the values among them."""
        with naming(self._where("label", file), format_name(file)):
            label = open_volume(file, self.allow_gaps)
            numbers = whole_numbers(label.read())
            values = np.unique(numbers)
            wrong = values[~(np.isfinite(values) & (values >= 0) & (values == values.round()))]
            if len(wrong):
                shown = listing([f"{value:g}" for value in wrong.tolist()])
                raise InputError(f"must hold whole numbers from 0, got {shown}.")
            numbers = numbers.reshape(numbers.shape[:3])
            if label.segments is not None:
                ignored = {} if self.ignore_value is None else {self.ignore_value: "ignore"}
                numbers = class_numbers(numbers, label.segments, {**self.names, **ignored})
                values = np.unique(numbers)
        image = self._open("image", image_files(self.record["image"])[0], several=True)
        with naming(self._where("label", file)):
            if may_be_moved(label.space, image.space, label.segments is not None):
                numbers = into_grid(numbers, label.space, image.space)
        if image.nearest is not None and is_of_frames(file, label.segments is not None):
            numbers = numbers[:, :, image.nearest]
        return numbers, values

    def _where(self, key: str, file: str) -> str:
        return f"case {self.record['case']}: {key} file {file}"


def _along_ras(values: np.ndarray, space: Space) -> np.ndarray:
    """Return values of the axes of a file in the order x, y, z."""
    return values[np.argsort(io_orientation(space.affine)[:, 0])]
