"""Plan of training on 2-D slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semicl_monai.planning.memory import GIB, training_memory
from semicl_monai.planning.network import filters_of, plan_network, supervised_levels, topology_from
from semicl_monai.planning.topology import Topology, topology_of, without_first_level

ANISOTROPIC = 1.5  # slices are taken across an axis whose spacing is larger than the others by this factor
SMALLEST = 32  # pixels
LARGE = 128  # pixels; a network for slices of such edges has no level of their own resolution
VOLUMES = 4  # of a batch: batch_size of the configs
SAMPLES, STEPS = 4, 30  # slices of a volume, and steps of an epoch, in the configs
SURROUNDINGS = 2  # edge of the part of a slice that the network sees, as a multiple of that of the foreground
PIXELS = 2**17  # of the slices of a training step, at most, but one slice of each volume; with 16 slices at most
CONTRASTED = 2**13  # pixels of a step that are contrasted, about
PAPER_STRIDE = 4  # stride of Hu et al.
BLOCK = 4  # edge of a block in strides, as in Hu et al.
VIEWS = 2  # of a slice, in pre-training
STRIDED = 3  # times as many steps, if the first level has strides: they take a third of the time


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


def plan_slices(
    shape: Sequence[int],
    spacing: Sequence[float],
    axis: int,
    memory: float,
    outputs: int,
    extent: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Plan slices, network, and contrast in 2-D, as entries of ``task.json``.

    The network sees a part of a slice with twice the edges of the foreground, at most: more of the surroundings tells
    it little, and takes time. Predictions of such parts are put together by sliding windows. For large slices, the
    network is a :class:`semicl_monai.networks.StridedDynUNet`: objects in them are large too, and a step takes a third
    of the time or less.

    Args:
        shape: edges of the median image at the target spacing, in voxels.
        spacing: edges of a voxel, in mm.
        axis: axis across which slices are taken.
        memory: bytes that a training step may take.
        outputs: outputs of the network, which are the classes and the background, or the regions.
        extent: edges of the box around the foreground of a median case, in voxels of the target spacing, if known.
    """
    if extent is not None:
        shape = np.minimum(shape, np.ceil(SURROUNDINGS * np.array(extent)).astype(int)).tolist()
    size, edges = np.maximum(np.delete(np.array(shape), axis), SMALLEST), np.delete(np.array(spacing), axis)
    large = bool(size.min() >= LARGE)
    size, topology = _whole_steps(size, edges, large)
    while slices_memory(size.tolist(), topology, outputs) > memory and size.max() > SMALLEST:
        size[size.argmax()] -= topology.divisor[size.argmax()]
        size, topology = _whole_steps(size, edges, large)
    samples = _samples(size.tolist(), topology)
    train = {**samples.get("stages", {}).get("train", {}), "network_def": supervised_levels(topology)}
    stages = {**samples.get("stages", {}), "train": train}
    return {"roi_size": size.tolist(), **samples, "network_def": plan_network(topology), "stages": stages}


def _whole_steps(size: np.ndarray, spacing: np.ndarray, large: bool) -> tuple[np.ndarray, Topology]:
    """Return the size, rounded up to what the network can halve without a rest, and the topology of the network."""
    topology = topology_of(size.tolist(), spacing.tolist())
    rounded = -(-size // topology.divisor) * topology.divisor
    if (rounded != size).any():
        return _whole_steps(rounded, spacing, large)
    return size, without_first_level(topology) if large else topology


def describe_slices(task: Mapping[str, Any]) -> dict[str, str]:
    """Return the plan of network and memory, by a word for each line, for a user.

    Args:
        task: a ``task.json`` with the entries of :func:`plan_slices`.
    """
    network, topology = task["network_def"], topology_from(task["network_def"])
    memory = slices_memory(task["roi_size"], topology, 1 + len(task["class_names"]))
    name = network["_target_"].rpartition(".")[2]
    return {
        "network": f"{name}, {len(topology.strides) - 1} poolings, filters {network['filters']}",
        "memory": f"about {memory / GIB:.1f} GiB a training step",
    }


def slices_memory(size: Sequence[int], topology: Topology, outputs: int) -> float:
    """Estimate the bytes that a training step on slices takes, with as few slices as possible.

    Args:
        size: edges of a slice, in pixels.
        topology: strides and kernels of the network.
        outputs: outputs of the network.
    """
    slices = VOLUMES * _per_volume(size) * VIEWS
    return training_memory(size, topology, filters_of(topology), slices, outputs)


def _per_volume(size: Sequence[int] | np.ndarray) -> int:
    return int(np.clip(PIXELS // (VOLUMES * int(np.prod(size))), 1, SAMPLES))


def _samples(size: Sequence[int], topology: Topology) -> dict[str, Any]:
    """Slices of a volume, steps of an epoch, grid and blocks of the local contrast, where the configs have others.

    With fewer slices in a step, an epoch has more steps. So a training sees as many slices of any size. If the first
    level has strides, it sees three times as many in the same time. Grid and blocks count in pixels of the last
    decoder map.
    """
    samples, strided = _per_volume(size), max(topology.strides[0])
    steps = (STRIDED if strided > 1 else 1) * STEPS * SAMPLES // samples
    pixels = VIEWS * VOLUMES * samples * int(np.prod(topology.sizes(size)[0]))
    stride = max(PAPER_STRIDE // strided, round(float(np.sqrt(pixels / CONTRASTED))))
    of_stage = {"block_size": BLOCK * stride, "method_def": {"stride": stride}}
    return {
        **({} if samples == SAMPLES else {"samples_per_volume": samples}),
        **({} if steps == STEPS else {"iterations_per_epoch": steps}),
        **({} if stride == PAPER_STRIDE else {"stages": {"pretrain": {**of_stage}, "train": {**of_stage}}}),
    }
