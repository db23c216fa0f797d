"""Network of a plan."""

from __future__ import annotations

from typing import Any

from semicl_monai.planning.topology import Topology

FILTERS = (16, 256)  # channels of the first level, and at most
SUPERVISED_LEVELS = 2  # decoder levels below the last one that give predictions in training, at most


def plan_network(topology: Topology) -> dict[str, Any]:
    """Return the definition of a :class:`monai.networks.nets.DynUNet`, in 2-D or 3-D.

    It is a :class:`semicl_monai.networks.StridedDynUNet` if the first level has strides.

    Args:
        topology: strides and kernels of the network.
    """
    strided = max(topology.strides[0]) > 1
    return {
        "_target_": "semicl_monai.networks.StridedDynUNet" if strided else "DynUNet",
        "spatial_dims": len(topology.divisor),
        "in_channels": "@in_channels",
        "out_channels": "@num_classes",
        "kernel_size": [list(kernel) for kernel in topology.kernels],
        "strides": [list(stride) for stride in topology.strides],
        "upsample_kernel_size": [list(stride) for stride in topology.strides[1:]],
        "filters": filters_of(topology),
        "norm_name": ["instance", {"affine": True}],
    }


def supervised_levels(topology: Topology) -> dict[str, Any]:
    """Return the entries of the network definition that give it deep supervision, where there are levels for it."""
    # DynUNet wants fewer such levels than it has upsamplings but one
    levels = min(SUPERVISED_LEVELS, len(topology.strides) - 2)
    return {"deep_supervision": "@use_deep_supervision", "deep_supr_num": levels} if levels > 0 else {}


def filters_of(topology: Topology) -> list[int]:
    """Return the channels of each level of a network."""
    first, most = FILTERS
    return [min(first * 2**level, most) for level in range(len(topology.strides))]


def topology_from(network: dict[str, Any]) -> Topology:
    """Return the topology of a definition by :func:`plan_network`."""
    return Topology(tuple(map(tuple, network["strides"])), tuple(map(tuple, network["kernel_size"])))
