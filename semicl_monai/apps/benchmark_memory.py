"""Benchmark of the memory that the plan of a patch predicts."""

from __future__ import annotations

import copy
import multiprocessing
import re
import resource
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet

from semicl_monai.planning import GIB, topology_of, training_memory
from semicl_monai.planning.patches import PATCHES, filters_of
from semicl_monai.planning.topology import Topology

CLASSES = 4
# edges in voxels, and spacing in mm
PLANS = (
    ((40, 56, 40), (1.0, 1.0, 1.0)),
    ((64, 64, 64), (1.0, 1.0, 1.0)),
    ((96, 96, 96), (1.0, 1.0, 1.0)),
    ((128, 128, 10), (1.5, 1.5, 10.0)),
    ((224, 256, 10), (1.5, 1.5, 10.0)),
)


def benchmark_memory() -> None:
    """Print the peak of memory of training steps on a CPU, and what ``new_bundle`` predicts.

    A step is that of the recipe with unlabelled volumes: the student on three patches, the teacher on two of them. Each
    patch is measured in a process of its own, in float32.
    """
    for patch, spacing in PLANS:
        topology = topology_of(patch, spacing)
        predicted = training_memory(patch, topology, filters_of(topology), PATCHES)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(peak, (patch, topology))
        shown = " x ".join(map(str, patch))
        print(f"{shown:14} measured {measured / GIB:.2f} GiB, predicted {predicted / GIB:.2f} GiB")


def peak(patch: Sequence[int], topology: Topology) -> int:
    """Return the largest memory in bytes that this process has had, after two training steps.

    Args:
        patch: edges of the patch, in voxels.
        topology: strides and kernels of the network.
    """
    network = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=CLASSES,
        kernel_size=topology.kernels,
        strides=topology.strides,
        upsample_kernel_size=topology.strides[1:],
        filters=filters_of(topology),
        norm_name=("instance", {"affine": True}),
        deep_supervision=True,
        deep_supr_num=min(2, len(topology.strides) - 2),
    )
    teacher, loss = copy.deepcopy(network).eval(), DiceCELoss(to_onehot_y=True, softmax=True)
    optimizer = torch.optim.AdamW(network.parameters())
    images, labels = torch.rand(PATCHES, 1, *patch), torch.randint(0, CLASSES, (PATCHES, 1, *patch)).float()
    for _ in range(2):
        with torch.no_grad():
            teacher(images[1:])
        torch.stack([loss(level, labels) for level in network(images).unbind(1)]).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return _largest_memory()


def _largest_memory() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
    # not ru_maxrss: on Linux a new process starts with that of its parent
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else 0
