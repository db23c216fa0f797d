"""What a data set is like, measured on its training images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation
from tqdm import tqdm

from semicl_monai.data.images import image_files
from semicl_monai.utils import InputError

SAMPLES = 10_000  # foreground voxels a case, of which the statistics are


@dataclass(frozen=True)
class Fingerprint:
    """Sizes, spacings and intensities of the training images of a data set.

    Attributes:
        channels: of every image.
        shapes: voxels along x, y and z of each training image, in RAS order, shape ``(cases, 3)``.
        spacings: mm along the same axes, shape ``(cases, 3)``.
        label_values: values of the labelled training images, background left out, sorted.
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
        """Whether all cases are on one scale: their mean intensities differ less than the voxels of a case do.

        Of a single case this cannot be told, and it is ``False``.
        """
        means = np.stack([values.mean(0) for values in self.foreground])
        within = np.stack([values.std(0) for values in self.foreground]).mean(0)
        return len(means) > 1 and bool((means.std(0) < within).all())


def take_fingerprint(training: Sequence[Mapping[str, Any]], labelled: Sequence[Mapping[str, Any]]) -> Fingerprint:
    """Measure training images: the headers of all, the voxels of the labelled ones.

    Args:
        training: records of all training images, ``{"image", "case"}``.
        labelled: those with a label that may be used, ``{"image", "label", "case"}``.

    Raises:
        InputError: When a file cannot be read, images differ in their channels, or the files of one image in their
            shape, a label does not fit its image or holds numbers that are not whole, an image numbers that are not
            finite, or no label has any foreground.
    """
    headers = [_header(record) for record in tqdm(training, desc="Reading headers")]
    channels = headers[0][0]
    for record, header in zip(training, headers, strict=True):
        if header[0] != channels:
            first = training[0]["case"]
            raise InputError(f"case {record['case']}: wanted {channels} channel(s) as in {first}, got {header[0]}.")
    found = [_foreground(record) for record in tqdm(labelled, desc="Reading foreground")]
    foreground = tuple(values for values, _ in found if len(values))
    if not foreground:
        raise InputError("no label of a training image has any foreground (> 0).")
    shapes, spacings = (np.array([header[part] for header in headers]) for part in (1, 2))
    return Fingerprint(channels, shapes, spacings, tuple(sorted({v for _, vs in found for v in vs})), foreground)


def _header(record: Mapping[str, Any]) -> tuple[int, np.ndarray, np.ndarray]:
    """Channels, shape and spacing in RAS order."""
    files = image_files(record["image"])
    with _readable(files[0], record):
        image: Any = nib.load(files[0])
        order = np.argsort(io_orientation(image.affine)[:, 0])
        spacing = nib.affines.voxel_sizes(image.affine)[order]
    if image.ndim not in (3, 4) or (image.ndim == 4 and len(files) > 1):
        raise InputError(f"case {record['case']}: image file {files[0]} must be 3-D, got the shape {image.shape}.")
    if not (spacing > 0).all():
        raise InputError(f"case {record['case']}: image file {files[0]} must have a spacing above 0, got {spacing}.")
    channels = image.shape[3] if image.ndim == 4 else len(files)
    return channels, np.array(image.shape[:3])[order], spacing


def _foreground(record: Mapping[str, Any]) -> tuple[np.ndarray, set[int]]:
    """Intensities of some foreground voxels, and the values of the label."""
    label = _voxels([record["label"]], record)
    values = np.unique(label)
    if not (np.isfinite(values) & (values >= 0) & (values == values.round())).all():
        raise InputError(f"case {record['case']}: label file {record['label']} must hold whole numbers from 0.")
    image = _voxels(image_files(record["image"]), record)
    if label.shape != (*image.shape[:3], 1):
        wanted = f"{record['label']} must have the shape of its image {image.shape[:3]}"
        raise InputError(f"case {record['case']}: label file {wanted}, got {label.shape[: 3 + (label.shape[3] > 1)]}.")
    inside = image[label[..., 0] > 0]
    if not np.isfinite(inside).all():
        raise InputError(f"case {record['case']}: image file {record['image']} must hold finite numbers.")
    drawn = np.random.default_rng(0).permutation(len(inside))[:SAMPLES]
    return inside[drawn].astype(np.float64), {int(value) for value in values if value > 0}


def _voxels(files: Iterable[str], record: Mapping[str, Any]) -> np.ndarray:
    volumes = []
    for file in files:
        with _readable(file, record):
            image: Any = nib.load(file)
            volumes.append(np.asanyarray(image.dataobj))
        if volumes[-1].shape != volumes[0].shape:
            wanted = f"{file} must have the shape {volumes[0].shape} of the first"
            raise InputError(f"case {record['case']}: image file {wanted}, got {volumes[-1].shape}.")
    return volumes[0] if volumes[0].ndim == 4 else np.stack(volumes, axis=-1)


@contextmanager
def _readable(file: str, record: Mapping[str, Any]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # what a broken file makes nibabel raise is no closed list
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"case {record['case']}: {file} cannot be read as NIfTI: {reason}") from error
