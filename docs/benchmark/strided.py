"""Time of a step of the 2-D plan for ACDC, on one thread, with and without a level of the full resolution.

python docs/benchmark/strided.py
"""

import time

import torch
from monai.networks.nets import DynUNet

from semicl_monai.networks import StridedDynUNet, channels_last

POOLINGS, IMAGES = [[2, 2]] * 5, torch.randn(8, 1, 160, 160)
OPTIONS = {"norm_name": ("instance", {"affine": True}), "deep_supervision": True, "deep_supr_num": 2}
NETWORKS = {
    "full": DynUNet(2, 1, 4, [3] * 6, [[1, 1], *POOLINGS], POOLINGS, filters=[16, 32, 64, 128, 256, 256], **OPTIONS),
    "strided": StridedDynUNet(2, 1, 4, [3] * 5, POOLINGS, POOLINGS[1:], filters=[16, 32, 64, 128, 256], **OPTIONS),
}

torch.set_num_threads(1)
for bfloat16 in (False, True):
    seconds = {name: [] for name in NETWORKS}
    for _ in range(5):
        for name, network in NETWORKS.items():
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                logits = channels_last(network)(IMAGES)
            logits.float().mean().backward()
            seconds[name].append(time.perf_counter() - start)
    full, strided = (min(seconds[name]) for name in NETWORKS)
    print(f"bfloat16 {bfloat16}: {full:.3f} s, strided {strided:.3f} s, ratio {full / strided:.1f}")
