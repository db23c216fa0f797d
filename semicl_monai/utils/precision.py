"""Floating-point formats."""

from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a float64 tensor unchanged, and any other tensor as float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def default_amp(device: torch.device | str, bfloat16: bool = False) -> bool:
    """Whether mixed precision is the default: on a GPU, unless the network runs in bfloat16."""
    return torch.device(device).type == "cuda" and not bfloat16


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether ``device`` is a CPU with bfloat16 instructions, which make bfloat16 networks faster.

    A CPU without these instructions is many times slower in bfloat16 than in float32.
    """
    if torch.device(device).type != "cpu":
        return False
    cpu = torch.backends.cpu.get_cpu_capability()
    return cpu.startswith("AVX512") and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
