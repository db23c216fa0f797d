"""Plan the task of a bundle from its training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semicl_monai.data import Fingerprint
from semicl_monai.utils import InputError

MOST_CLASSES = 100
LARGEST_VALUE = 2**16 - 1  # of a label, as predictions are written in 16 bits
SAME_SPACING = 0.01  # largest relative difference of spacings that count as equal
ANISOTROPIC = 1.5  # slices are taken across an axis whose spacing is larger than the others by this factor
SIZES = (32, 256)  # smallest and largest slice, pixels
STEP = 16  # a U-Net with four poolings halves a slice four times
MEMORY = 2 * 2**30  # prepared volumes of more bytes are kept on disk
VOLUMES = 4  # of a batch: batch_size of the configs
PIXELS = 2**18  # of the slices of a training step, at most, but one slice of each volume; with 16 slices at most
CONTRASTED = 2**13  # pixels of a step that are contrasted, about
PAPER_STRIDE = 4  # stride of Hu et al.
# For images not scaled to 0..1, in standard deviations. An image scaled to 0..1 has a standard deviation of about 0.2.
STRENGTHS_OF_Z_SCORES = {"shift_range": 0.75, "noise_std": 0.25}


def plan_task(found: Fingerprint, channels: Sequence[str], names: Mapping[int, str]) -> dict[str, Any]:
    """Plan the content of ``task.json`` from the training images.

    - Each value in ``names`` is a class. Without ``names``, each value in the labels is one. Classes follow the order
      of the values. Exception: a value from 1 to the number of classes is the class of that number. A label file of
      class numbers is therefore always read correctly.
    - Images keep their spacing if all spacings are equal. Otherwise, images are resampled to the median spacing.
    - Slices are taken across the axis of the largest spacing if it is more than 1.5 times the others, otherwise across
      z. If the images are single slices, the axis is the one with a single voxel.
      Slices are as large as the median image, in steps of 16 pixels from 32 to 256.
    - CT is windowed to the 0.5 and 99.5 percentiles of the foreground. Other images become z-scores. If mean and
      standard deviation of the foreground are similar in all images, these are used. Otherwise, each image uses its
      own.
    - A training step has 16 slices of up to 128 x 128 pixels, and fewer larger slices, at least one of each of four
      volumes. The stride of the local contrast is 4, or larger so that a step contrasts about 8192 pixels. The contrast
      then costs less than the network.
    - Prepared volumes of more than 2 GiB are kept on disk.

    Args:
        found: fingerprint of the training images.
        channels: names of the channels. ``"CT"`` stands for Hounsfield units.
        names: names of the label values, empty if unknown.

    Raises:
        InputError: When a label holds a value without a name, when there are more than 100 classes, when a value is
            above 65535, or when the foreground of CT has only one intensity.
    """
    values = _values(found, names)
    spacing, axis = _spacing(found)
    size = _slice_size(found, spacing, axis)
    task = {
        "in_channels": found.channels,
        "class_names": [names.get(value, f"class {value}") for value in values],
        "label_values": None if values == list(range(1, len(values) + 1)) else values,
        "spacing": spacing,
        "slice_axis": axis,
        "roi_size": size,
        **_scaling(found, _is_ct(channels)),
        "cache_dir": _cache_dir(found, spacing),
        **_samples(size),
        "network_def": _network(size),
    }
    defaults = {"in_channels": 1, "label_values": None, "spacing": None, "slice_axis": 2, "cache_dir": None}
    return {key: value for key, value in task.items() if key not in defaults or value != defaults[key]}


def _values(found: Fingerprint, names: Mapping[int, str]) -> list[int]:
    unknown = sorted(set(found.label_values) - set(names)) if names else []
    if unknown:
        raise InputError(
            f"the labels hold the value {unknown[0]}, but 'labels' of the JSON file names only {sorted(names)}."
        )
    values = sorted(names or found.label_values)
    if len(values) > MOST_CLASSES:
        raise InputError(f"there must be at most {MOST_CLASSES} classes, got {len(values)}.")
    if values[-1] > LARGEST_VALUE:
        raise InputError(f"the values of labels must be at most {LARGEST_VALUE}, got {values[-1]}.")
    numbers = range(1, len(values) + 1)
    others = (value for value in values if value not in numbers)
    return [number if number in values else next(others) for number in numbers]


def _spacing(found: Fingerprint) -> tuple[list[float] | None, int]:
    """Return the spacing to resample to (``None`` if all images have it already) and the axis to slice across."""
    median = np.median(found.spacings, axis=0)
    coarsest = int(median.argmax())
    axis = coarsest if median[coarsest] > ANISOTROPIC * np.delete(median, coarsest).max() else 2
    flat = np.flatnonzero(np.median(found.shapes, axis=0) == 1)
    axis = int(flat[0]) if len(flat) == 1 else axis
    alike = (abs(found.spacings / median - 1) < SAME_SPACING).all()
    return None if alike else [float(f"{value:.3g}") for value in median], axis


def _slice_size(found: Fingerprint, spacing: list[float] | None, axis: int) -> list[int]:
    shapes = found.shapes * found.spacings / spacing if spacing else found.shapes
    median = np.delete(np.median(shapes.round(), axis=0), axis)  # whole voxels: 48.01 voxels need 48 pixels, not 64
    return [int(np.clip(np.ceil(size / STEP) * STEP, *SIZES)) for size in median]


def _is_ct(channels: Sequence[str]) -> bool:
    return bool(channels) and all(channel.upper().startswith("CT") for channel in channels)


def _scaling(found: Fingerprint, is_ct: bool) -> dict[str, Any]:
    pooled = found.pooled()
    if is_ct:
        low, high = (round(float(value), 2) for value in np.percentile(pooled, (0.5, 99.5)))
        if low >= high:  # MONAI would make all voxels equal
            raise InputError(
                f"CT must have different intensities in the foreground, got {low} in nearly all voxels: check images "
                "and labels, or give --modality MRI for z-scores."
            )
        window = {"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": low, "a_max": high}
        return {"scaling": {**window, "b_min": 0.0, "b_max": 1.0, "clip": True}}
    z_score = {"_target_": "NormalizeIntensityd", "keys": "image", "channel_wise": True}
    if found.is_calibrated():
        z_score["subtrahend"], z_score["divisor"] = (
            [float(f"{value:.6g}") for value in values] for values in (pooled.mean(0), pooled.std(0))
        )
    return {"scaling": z_score, **STRENGTHS_OF_Z_SCORES}


def _cache_dir(found: Fingerprint, spacing: list[float] | None) -> str | None:
    voxels = np.prod(found.shapes * (found.spacings / spacing if spacing else 1), axis=1).sum()
    size = 4 * voxels * (found.channels + 1)
    return "$str(@bundle_root).removesuffix('_pretraining') + '/cache'" if size > MEMORY else None


def _samples(size: Sequence[int]) -> dict[str, Any]:
    """Number of slices of a volume, and the stride of the local contrast, where they differ from the configs."""
    pixels = int(np.prod(size))
    samples = int(np.clip(PIXELS // (VOLUMES * pixels), 1, 4))
    views = 2 * VOLUMES * samples
    stride = max(PAPER_STRIDE, round(float(np.sqrt(views * pixels / CONTRASTED))))
    of_method = {"method_def": {"stride": stride}}
    return {
        **({} if samples == 4 else {"samples_per_volume": samples}),
        **({} if stride == PAPER_STRIDE else {"stages": {"pretrain": of_method, "train": of_method}}),
    }


def _network(size: list[int]) -> dict[str, Any]:
    features = [16, 16, 32, 64, 128, 16] if max(size) <= 96 else [16, 32, 64, 128, 256, 16]
    channels = {"in_channels": "@in_channels", "out_channels": "@num_classes"}
    norm = ["instance", {"affine": True}]
    return {"_target_": "BasicUNet", "spatial_dims": 2, **channels, "features": features, "norm": norm}
