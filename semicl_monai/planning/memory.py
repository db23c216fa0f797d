"""Memory that a training step takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semicl_monai.planning.topology import Topology

GIB = 2**30
FIXED = 0.8 * GIB  # libraries, small buffers
OF_MAPS = 9.0  # bytes of each element of the feature maps, measured in float32
OF_OUTPUTS = 60  # bytes of each output of a voxel: logits, probabilities, targets and their gradients
OF_PARAMETERS = 24  # bytes of each parameter: weight, gradient, two moments, the teacher's weight, a buffer


def training_memory(
    patch: Sequence[int], topology: Topology, filters: Sequence[int], patches: int, outputs: int
) -> float:
    """Estimate the bytes that a training step of a :class:`monai.networks.nets.DynUNet` takes.

    The numbers of bytes were fitted to peaks of memory on a CPU, of steps of student and teacher in float32.
    ``python -m semicl_monai benchmark memory`` measures such peaks again.

    Args:
        patch: edges of a patch, in voxels.
        topology: strides and kernels of the network.
        filters: channels of each level.
        patches: number of patches of a step.
        outputs: outputs of the network, which are the classes and the background, or the regions.
    """
    voxels, channels = topology.sizes(patch).prod(axis=1), np.array(filters)
    encoder, decoder = 2 * voxels * channels, 4 * (voxels * channels)[:-1]
    of_patch = OF_MAPS * (sum(encoder) + sum(decoder)) + OF_OUTPUTS * outputs * np.prod(patch)
    return float(FIXED + OF_PARAMETERS * _parameters(topology, channels) + patches * of_patch)


def _parameters(topology: Topology, channels: np.ndarray) -> int:
    """Weights of all convolutions: two of each encoder level, and an upsampling and two of each decoder level."""
    kernels, strides = np.prod(topology.kernels, axis=1), np.prod(topology.strides, axis=1)
    before = np.array([1, *channels[:-1]])
    encoder = kernels * channels * (before + channels)
    decoder = (kernels[:-1] * 3 * channels[:-1] ** 2) + strides[1:] * channels[1:] * channels[:-1]
    return int(encoder.sum() + decoder.sum())
