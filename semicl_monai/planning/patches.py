"""Plan of training on 3-D patches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semicl_monai.planning.contrast import block_edges, grid_strides
from semicl_monai.planning.memory import GIB, training_memory
from semicl_monai.planning.network import filters_of, plan_network, supervised_levels, topology_from
from semicl_monai.planning.patch_size import SMALLEST, largest_patch, smaller_patch
from semicl_monai.planning.target_spacing import thick_axis
from semicl_monai.planning.topology import ALIKE, Topology

PATCHES = 3  # of a training step: one labelled and two unlabelled ones
MARGIN = 1.2  # edge of a sample before it is warped to a patch
# Share of a patch's voxels in a patch of pre-training. A step of pre-training, with 32 views, then costs about as much
# as two steps of fine-tuning.
PRETRAINING = 0.21
VIEWS = 32  # of a step of pre-training
CONTRASTED = 2**13  # voxels of a step that are contrasted, about
BLOCK = 2**9  # voxels of a block


def plan_patches(shape: Sequence[int], spacing: Sequence[float], memory: float, outputs: int) -> dict[str, Any]:
    """Plan patches, network, and contrast in 3-D, as entries of ``task.json``.

    Args:
        shape: edges of the median image at the target spacing, in voxels.
        spacing: edges of a voxel, in mm.
        memory: bytes that a training step may take.
        outputs: outputs of the network, which are the classes and the background, or the regions.
    """

    def fits(patch: np.ndarray, topology: Topology) -> bool:
        return training_memory(patch.tolist(), topology, filters_of(topology), PATCHES, outputs) <= memory

    patch, topology = largest_patch(_at_least_two_poolings(shape, spacing), spacing, fits)
    small = smaller_patch(patch, spacing, topology, PRETRAINING * float(np.prod(patch)))
    axis = thick_axis(patch, spacing)
    return {
        "roi_size": patch,
        "bfloat16": {"_target_": "semicl_monai.utils.multiplies_bfloat16", "device": "@device"},
        **_thick(patch, axis),
        "network_def": plan_network(topology),
        "stages": {
            "pretrain": {
                "roi_size": small,
                **{key: value for key, value in _thick(small, axis).items() if key == "sample_size"},
                **_contrast(small, spacing, VIEWS),
            },
            "train": {**_contrast(patch, spacing, PATCHES), "network_def": supervised_levels(topology)},
        },
    }


def describe_patches(task: Mapping[str, Any], with_unlabelled: bool) -> dict[str, str]:
    """Return the plan of network, batch and memory, by a word for each line, for a user.

    Args:
        task: a ``task.json`` with the entries of :func:`plan_patches`.
        with_unlabelled: whether the method trains with unlabelled volumes.
    """
    network = task["network_def"]
    halved = ", ".join(str(tuple(stride)) for stride in network["strides"][1:])
    memory = training_memory(
        task["roi_size"], topology_from(network), network["filters"], PATCHES, 1 + len(task["class_names"])
    )
    unlabelled = f"; with unlabelled volumes 1 labelled and {PATCHES - 1} unlabelled ones" if with_unlabelled else ""
    return {
        "network": f"DynUNet, strides {halved}, filters {network['filters']}",
        "batch": f"2 patches{unlabelled}, 1 of each volume",
        "inference": "windows overlap by a half",
        "memory": f"about {memory / GIB:.1f} GiB a training step, in float32",
    }


def _at_least_two_poolings(shape: Sequence[int], spacing: Sequence[float]) -> list[int]:
    finest = min(spacing)
    return [max(size, SMALLEST) if edge < ALIKE * finest else size for size, edge in zip(shape, spacing, strict=True)]


def _thick(patch: Sequence[int], axis: int | None) -> dict[str, Any]:
    """Return what differs with thick slices: they are not warped across, so that a sample needs no margin there."""
    if axis is None:
        return {}
    sample = [size if number == axis else int(np.ceil(MARGIN * size)) for number, size in enumerate(patch)]
    return {"thick_axis": axis, "sample_size": sample}


def _contrast(patch: Sequence[int], spacing: Sequence[float], views: int) -> dict[str, Any]:
    return {
        "block_size": block_edges(patch, spacing, BLOCK),
        "method_def": {"stride": grid_strides(patch, spacing, CONTRASTED / views)},
    }
