"""Benchmark of the memory that the plan of a patch predicts."""

from __future__ import annotations

import multiprocessing
import re
import resource
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.engines import SupervisedTrainer
from monai.losses import DiceCELoss
from monai.networks.nets import DynUNet

from semicl_monai.losses import StackedDeepSupervisionLoss
from semicl_monai.methods.self_training import SelfTrainingMethod
from semicl_monai.networks import channels_last
from semicl_monai.planning import GIB, filters_of, topology_of, training_memory
from semicl_monai.planning.patches import PATCHES
from semicl_monai.planning.topology import Topology
from semicl_monai.utils import IGNORED

STEPS = 3
# edges in voxels, spacing in mm, and outputs of the network
PLANS = (
    ((40, 56, 40), (1.0, 1.0, 1.0), 4),
    ((64, 64, 64), (1.0, 1.0, 1.0), 4),
    ((96, 96, 96), (1.0, 1.0, 1.0), 2),
    ((96, 96, 96), (1.0, 1.0, 1.0), 8),
    ((128, 128, 10), (1.5, 1.5, 10.0), 4),
    ((224, 256, 10), (1.5, 1.5, 10.0), 4),
)


def benchmark_memory() -> None:
    """Print the peak of memory of training steps on a CPU, and what ``new_bundle`` predicts.

    A step is that of the recipe with unlabelled volumes: the student on three patches, the teacher on two of them. Each
    patch is measured in a process of its own, in float32.
    """
    for patch, spacing, outputs in PLANS:
        topology = topology_of(patch, spacing)
        predicted = training_memory(patch, topology, filters_of(topology), PATCHES, outputs)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured = pool.apply(peak, (patch, topology, outputs))
        shown = f"{' x '.join(map(str, patch))}, {outputs} outputs"
        print(f"{shown:25} measured {measured / GIB:.2f} GiB, predicted {predicted / GIB:.2f} GiB")


def peak(patch: Sequence[int], topology: Topology, outputs: int) -> int:
    """Return the largest memory in bytes that this process has had, after three training steps.

    Args:
        patch: edges of the patch, in voxels.
        topology: strides and kernels of the network.
        outputs: number of classes, with the background.
    """
    network = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=outputs,
        kernel_size=topology.kernels,
        strides=topology.strides,
        upsample_kernel_size=topology.strides[1:],
        filters=filters_of(topology),
        norm_name=("instance", {"affine": True}),
        deep_supervision=True,
        deep_supr_num=min(2, len(topology.strides) - 2),
    )
    method, dice_ce = SelfTrainingMethod(), DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)
    images, label = torch.rand(PATCHES, 1, *patch), torch.randint(0, outputs, (1, 1, *patch)).float()
    others, unknown = images[1:], torch.full_like(images[1:], IGNORED)
    unlabelled = {"unlabelled_image": others, "unlabelled_weak_image": others, "unlabelled_label": unknown}
    SupervisedTrainer(
        device=torch.device("cpu"),
        max_epochs=1,
        train_data_loader=[{"image": images[:1], "label": label, **unlabelled}] * STEPS,
        network=method.model(channels_last(network)),
        optimizer=torch.optim.AdamW(network.parameters(), fused=True),
        loss_function=method.loss(StackedDeepSupervisionLoss(dice_ce)),
        prepare_batch=method.prepare_batch(),
        optim_set_to_none=True,
    ).run()
    return _largest_memory()


def _largest_memory() -> int:
    status = Path("/proc/self/status")
    if not status.is_file():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS counts bytes
    # not ru_maxrss: on Linux a new process starts with that of its parent
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else 0
