"""Plan of training on 2-D slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from semicl_monai.planning.memory import training_memory
from semicl_monai.planning.topology import Topology

ANISOTROPIC = 1.5  # slices are taken across an axis whose spacing is larger than the others by this factor
STEP = 16  # a U-Net with four poolings halves a slice four times
SMALLEST = 32  # pixels
VOLUMES = 4  # of a batch: batch_size of the configs
SAMPLES, STEPS = 4, 30  # slices of a volume, and steps of an epoch, in the configs
PIXELS = 2**18  # of the slices of a training step, at most, but one slice of each volume; with 16 slices at most
CONTRASTED = 2**13  # pixels of a step that are contrasted, about
PAPER_STRIDE = 4  # stride of Hu et al.
BLOCK = 4  # edge of a block in strides, as in Hu et al.
SMALL_IMAGE = 96  # pixels; up to this size, the first levels have fewer channels
FEATURES = {True: [16, 16, 32, 64, 128, 16], False: [16, 32, 64, 128, 256, 16]}  # of a small image, of others
POOLINGS = 4
VIEWS = 2  # of a slice, in pre-training


def slice_axis(found_shape: Sequence[int], spacing: Sequence[float]) -> int:
    """Return the axis across which slices are taken.

    It is that of the largest spacing if this is more than 1.5 times the others, otherwise z. If the images are single
    slices, it is the axis with a single voxel.

    Args:
        found_shape: edges of the median image, in voxels.
        spacing: edges of a voxel, in mm.
    """
    flat = np.flatnonzero(np.array(found_shape) == 1)
    if len(flat) == 1:
        return int(flat[0])
    coarsest = int(np.argmax(spacing))
    return coarsest if spacing[coarsest] > ANISOTROPIC * np.delete(spacing, coarsest).max() else 2


def plan_slices(shape: Sequence[int], axis: int, memory: float, outputs: int) -> dict[str, Any]:
    """Plan slices, network, and contrast in 2-D, as entries of ``task.json``.

    Args:
        shape: edges of the median image at the target spacing, in voxels.
        axis: axis across which slices are taken.
        memory: bytes that a training step may take.
        outputs: outputs of the network, which are the classes and the background, or the regions.
    """
    size = np.maximum(-(-np.delete(np.array(shape), axis) // STEP) * STEP, SMALLEST)
    while slices_memory(size, outputs) > memory and size.max() > SMALLEST:
        size[size.argmax()] -= STEP
    edges = [int(edge) for edge in size]
    return {"roi_size": edges, **_samples(edges), "network_def": _network(edges)}


def slices_memory(size: Sequence[int] | np.ndarray, outputs: int) -> float:
    """Estimate the bytes that a training step on slices takes, with as few slices as possible.

    Args:
        size: edges of a slice, in pixels.
        outputs: outputs of the network.
    """
    topology = Topology(((1, 1), *[(2, 2)] * POOLINGS), ((3, 3),) * (POOLINGS + 1))
    slices = VOLUMES * _per_volume(size) * VIEWS
    return training_memory([int(edge) for edge in size], topology, _features(size)[:-1], slices, outputs)


def _per_volume(size: Sequence[int] | np.ndarray) -> int:
    return int(np.clip(PIXELS // (VOLUMES * int(np.prod(size))), 1, SAMPLES))


def _features(size: Sequence[int] | np.ndarray) -> list[int]:
    return FEATURES[bool(max(size) <= SMALL_IMAGE)]


def _samples(size: Sequence[int]) -> dict[str, Any]:
    """Slices of a volume, steps of an epoch, grid and blocks of the local contrast, where the configs have others.

    With fewer slices in a step, an epoch has more steps. So a training sees as many slices of any size.
    """
    samples = _per_volume(size)
    pixels = VIEWS * VOLUMES * samples * int(np.prod(size))
    stride = max(PAPER_STRIDE, round(float(np.sqrt(pixels / CONTRASTED))))
    of_stage = {"block_size": BLOCK * stride, "method_def": {"stride": stride}}
    return {
        **(
            {}
            if samples == SAMPLES
            else {"samples_per_volume": samples, "iterations_per_epoch": STEPS * SAMPLES // samples}
        ),
        **({} if stride == PAPER_STRIDE else {"stages": {"pretrain": {**of_stage}, "train": {**of_stage}}}),
    }


def _network(size: Sequence[int]) -> dict[str, Any]:
    channels = {"in_channels": "@in_channels", "out_channels": "@num_classes"}
    norm = ["instance", {"affine": True}]
    return {"_target_": "BasicUNet", "spatial_dims": 2, **channels, "features": _features(size), "norm": norm}
