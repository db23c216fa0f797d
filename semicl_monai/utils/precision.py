"""Floating-point formats."""

from __future__ import annotations

import torch
from torch import Tensor

from semicl_monai.utils.processor import processor_name


def at_least_float32(tensor: Tensor) -> Tensor:
    """Return a float64 tensor unchanged, and any other tensor as float32."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def default_amp(device: torch.device | str, bfloat16: bool = False) -> bool:
    """Whether mixed precision is the default: on a GPU, unless the network runs in bfloat16."""
    return torch.device(device).type == "cuda" and not bfloat16


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether ``device`` is a CPU that multiplies bfloat16 faster than float32.

    These are CPUs with tile units (AMX), and CPUs with AVX-512 instructions for bfloat16 that are not by Intel. Intel's
    CPUs take twice as long for such an instruction as for one in float32, so that nothing is gained. CPUs without any
    of them are many times slower in bfloat16.
    """
    if torch.device(device).type != "cpu" or not torch.backends.cpu.get_cpu_capability().startswith("AVX512"):
        return False
    tiles = torch.cpu._is_amx_tile_supported()
    return tiles or (torch.cpu._is_avx512_bf16_supported() and "Intel" not in processor_name())
