"""Plan the task of a bundle from its training images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semicl_monai.data import Fingerprint
from semicl_monai.methods import FineTuningMethod, find_method
from semicl_monai.planning import (
    GIB,
    describe_patches,
    describe_slices,
    plan_patches,
    plan_slices,
    slice_axis,
    spacing_to_resample,
    target_spacing,
    thick_axis,
)
from semicl_monai.utils import InputError

MOST_CLASSES = 100
LARGEST_VALUE = 2**16 - 1  # of a label, as predictions are written in 16 bits
MEMORY = 2 * 2**30  # prepared volumes of more bytes are kept on disk
HANDFUL = 5  # voxels; 3-D patches have at least so many along every axis
ENOUGH_LABELS = 3  # from which a rule of anatomy is read
ZOOM, ALIKE = 0.3, 1.25  # random change of size, and edges of the field of view that are about the same
UPRIGHT, SOME = 1.1, 0.05  # ratio of the edges of an upright or lying slice, and the share of images that is not chance
# For images not scaled to 0..1, in standard deviations. An image scaled to 0..1 has a standard deviation of about 0.2.
STRENGTHS_OF_Z_SCORES = {"shift_range": 0.75, "noise_std": 0.25}


def plan_task(
    found: Fingerprint,
    channels: Sequence[str],
    names: Mapping[int, str],
    spatial_dims: int | None = None,
    memory: float = 8 * GIB,
    named_by: str = "'labels' of the JSON file",
) -> dict[str, Any]:
    """Plan the content of ``task.json`` from the training images.

    - Each value in ``names`` is a class. Without ``names``, each value in the labels is one. Classes follow the order
      of the values. Exception: a value from 1 to the number of classes is the class of that number. A label file of
      class numbers is therefore always read correctly.
    - Images keep their spacing if all have the target spacing, see :func:`~semicl_monai.planning.target_spacing`.
      Otherwise they are resampled to it.
    - In 3-D, patch, network, and contrast are those of :func:`~semicl_monai.planning.plan_patches`, in 2-D those of
      :func:`~semicl_monai.planning.plan_slices`.
    - CT is windowed to the 0.5 and 99.5 percentiles of the foreground. Other images become z-scores. If mean and
      standard deviation of the foreground are similar in all images, these are used. Otherwise, each image uses its
      own.
    - If the foreground of every training label is in one piece, and there are at least three labels, only the main
      piece of a prediction is kept. This is a rule of the first nnU-Net (https://arxiv.org/abs/1809.10486).
    - If slices of some images show a much larger field of view than others, images are enlarged and reduced at random.
    - If slices of some images are upright and of others lying, images are rotated at random by 90, 180 or 270 degrees.
      Patients then probably lie turned in some images, which the headers do not tell.
    - In 2-D, predictions are averaged over mirror images, along the axes along which training images are mirrored. With
      rotations by 90 degrees, these are both axes of a slice.
    - Prepared volumes of more than 2 GiB are kept on disk.

    Args:
        found: fingerprint of the training images.
        channels: names of the channels. ``"CT"`` stands for Hounsfield units.
        names: names of the label values, empty if unknown.
        spatial_dims: 2 for slices, 3 for patches. By default, it is chosen by :func:`choose_dims`.
        memory: bytes that a training step may take.
        named_by: where ``names`` come from, for the error.

    Raises:
        InputError: When a label holds a value without a name, when there are more than 100 classes, when a value is
            above 65535, or when the foreground of CT has only one intensity.
    """
    values, spacing = _values(found, names, named_by), target_spacing(found)
    axis = slice_axis(np.median(found.shapes, axis=0), np.median(found.spacings, axis=0))
    outputs = 1 + len(values)
    dims = spatial_dims or choose_dims(found, memory, outputs)[0]
    shape, rotate90 = _median_shape(found, spacing), _rotate90_prob(found, axis)
    task = {
        "in_channels": found.channels,
        "class_names": [names.get(value, f"class {value}") for value in values],
        "label_values": None if values == list(range(1, len(values) + 1)) else values,
        "spacing": spacing_to_resample(found, spacing),
        "slice_axis": axis,
        **_scaling(found, _is_ct(channels)),
        "cache_dir": _cache_dir(found, spacing),
        "largest_component": found.in_one_piece and len(found.foreground) >= ENOUGH_LABELS,
        "zoom_range": _zoom_range(found, axis),
        "rotate90_prob": rotate90,
        "mirror_axes": _mirror_axes(axis, turned=rotate90 > 0) if dims == 2 else [],
        **(
            plan_slices(shape, spacing.tolist(), axis, memory, outputs, _median_extent(found, spacing))
            if dims == 2
            else plan_patches(shape, spacing.tolist(), memory, outputs)
        ),
    }
    defaults: dict[str, Any] = {
        "in_channels": 1,
        "label_values": None,
        "spacing": None,
        "slice_axis": 2,
        "cache_dir": None,
        "largest_component": False,
        "zoom_range": 0.0,
        "rotate90_prob": 0.0,
        "mirror_axes": [],
    }
    return {key: value for key, value in task.items() if key not in defaults or value != defaults[key]}


def describe_plan(task: Mapping[str, Any], found: Fingerprint) -> dict[str, str]:
    """Return what was planned, by a word for each line, for a user.

    Args:
        task: from :func:`plan_task`.
        found: fingerprint of the training images.
    """
    spacing, size = target_spacing(found), task["roi_size"]
    shape = _median_shape(found, spacing)
    edges = " x ".join(f"{edge:.3g}" for edge in spacing)
    ratio = f"largest to smallest edge {spacing.max() / spacing.min():.2g}"
    lines = {"spacing": f"{edges} mm{'' if task.get('spacing') else ', unchanged'}; {ratio}"}
    if len(size) == 3:
        thick = task.get("thick_axis")
        across = "" if thick is None else f"; thick slices, not warped across axis {thick}"
        return (
            lines
            | {"patch": f"{_product(size)} voxels of a median image of {_product(shape)}{across}"}
            | describe_patches(task, _with_unlabelled(task))
        )
    across = f"across axis {task.get('slice_axis', 2)}"
    slices = f"{_product(size)} pixels, {across}, of a median image of {_product(shape)}"
    return lines | {"slices": slices} | describe_slices(task)


def _with_unlabelled(task: Mapping[str, Any]) -> bool:
    """Whether fine-tuning by the method of a task takes unlabelled volumes."""
    method = find_method(task.get("stages", {}).get("pretrain", {}).get("method", "self_training"))
    return issubclass(method, FineTuningMethod) and method.images


def _product(size: Sequence[int] | np.ndarray) -> str:
    return " x ".join(str(int(edge)) for edge in size)


def choose_dims(found: Fingerprint, memory: float, outputs: int) -> tuple[int, str]:
    """Return 3, or 2 for few or thick slices; and the reason, for a user.

    Slices are few if a 3-D patch had fewer than five voxels along an axis. They are thick if their spacing is more than
    three times that of their pixels, and their number less than a third of the pixels along an edge. Networks on slices
    learn more from few labelled volumes of thick slices: see ``docs/planning``.

    Args:
        found: fingerprint of the training images.
        memory: bytes that a training step may take.
        outputs: outputs of the network, which are the classes and the background, or the regions.
    """
    spacing = target_spacing(found)
    shape = _median_shape(found, spacing)
    patch = np.minimum(plan_patches(shape, spacing.tolist(), memory, outputs)["roi_size"], shape)
    thinnest = int(patch.argmin())
    voxels, edge = int(patch[thinnest]), f"{spacing[thinnest]:.3g}"
    if voxels < HANDFUL:
        return 2, f"a 3-D patch would have {voxels} slice(s) of {edge} mm, less than {HANDFUL}"
    thick = thick_axis(shape, spacing.tolist())
    if thick is not None:
        return (
            2,
            f"slices of {spacing[thick]:.3g} mm are thick beside pixels of {np.delete(spacing, thick).max():.3g} mm",
        )
    return 3, f"a 3-D patch has {voxels} voxels of {edge} mm along its shortest axis, at least {HANDFUL}"


def _mirror_axes(axis: int, turned: bool) -> list[int]:
    """Return the axes of a slice along which training images are mirrored, and both if they are rotated too."""
    plane = [other for other in range(3) if other != axis]
    return plane if turned else plane[:1]


def _median_shape(found: Fingerprint, spacing: np.ndarray) -> list[int]:
    """Edges of the median image at a spacing, in whole voxels: 48.01 voxels need 48, not 64."""
    shape = np.median((found.shapes * found.spacings / spacing).round(), axis=0)
    return [max(1, int(np.ceil(edge))) for edge in shape]


def _values(found: Fingerprint, names: Mapping[int, str], named_by: str) -> list[int]:
    unknown = sorted(set(found.label_values) - set(names)) if names else []
    if unknown:
        raise InputError(f"the labels hold the value {unknown[0]}, but {named_by} names only {sorted(names)}.")
    values = sorted(names or found.label_values)
    if len(values) > MOST_CLASSES:
        raise InputError(f"there must be at most {MOST_CLASSES} classes, got {len(values)}.")
    if values[-1] > LARGEST_VALUE:
        raise InputError(f"the values of labels must be at most {LARGEST_VALUE}, got {values[-1]}.")
    numbers = range(1, len(values) + 1)
    others = (value for value in values if value not in numbers)
    return [number if number in values else next(others) for number in numbers]


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


def _median_extent(found: Fingerprint, spacing: np.ndarray) -> list[float] | None:
    """Return the edges of the box around the foreground, in voxels of ``spacing``."""
    return None if found.extents is None else (np.median(found.extents, axis=0) / spacing).tolist()


def _zoom_range(found: Fingerprint, axis: int) -> float:
    """Return the largest random change of size: none if nine of ten slices have about the same edge in mm."""
    edges = np.sqrt(np.delete(found.shapes * found.spacings, axis, axis=1).prod(axis=1))
    small, large = np.percentile(edges, (10, 90))
    return ZOOM if large > ALIKE * small else 0.0


def _rotate90_prob(found: Fingerprint, axis: int) -> float:
    """Return the probability of a rotation by 90, 180 or 270 degrees: none if slices are all upright or all lying."""
    edges = np.delete(found.shapes * found.spacings, axis, axis=1)
    ratio = edges[:, 0] / edges[:, 1]
    both = min((ratio > UPRIGHT).mean(), (ratio < 1 / UPRIGHT).mean())
    return 0.5 if both >= SOME else 0.0


def _cache_dir(found: Fingerprint, spacing: np.ndarray) -> str | None:
    voxels = np.prod(found.shapes * found.spacings / spacing, axis=1).sum()
    size = 4 * voxels * (found.channels + 1)
    return "$str(@bundle_root).removesuffix('_pretraining') + '/cache'" if size > MEMORY else None
