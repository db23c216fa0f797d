"""Networks in bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import Inferer, SimpleInferer

from semicl_monai.utils import at_least_float32


class Bfloat16Inferer(Inferer):
    """Run a network under bfloat16 autocast on the device of its images, and return its output in float32.

    MONAI 1.6.1's ``amp`` is float16 and on CUDA only. This inferer also works on CPUs and needs no gradient scaling.
    Losses and metrics do not run under autocast.

    On a CPU, PyTorch 2.13 (with oneDNN) has a fault. The gradient of a 3-D convolution with channels last reads
    uninitialised memory if its map has less than three voxels along the first axis. Training may then end in NaN. Use
    patches so large that the deepest map has three voxels along this axis.

    Args:
        inferer: the inferer that runs the network, by default in one pass.
        enabled: whether to use bfloat16. Otherwise, the inferer is called unchanged.

    Example:
        >>> infer = Bfloat16Inferer()
        >>> infer(torch.rand(2, 3), torch.nn.Linear(3, 4)).dtype
        torch.float32
    """

    def __init__(self, inferer: Inferer | None = None, enabled: bool = True) -> None:
        super().__init__()
        self.inferer, self.enabled = inferer or SimpleInferer(), enabled

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return the output of the inferer for ``inputs`` and ``network``: a tensor, or a tuple of tensors."""
        if not self.enabled:
            return self.inferer(inputs, network, *args, **kwargs)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            output = self.inferer(inputs, network, *args, **kwargs)
        return _in_float32(output)


def _in_float32(output: Any) -> Any:
    if not isinstance(output, tuple):
        return at_least_float32(output)
    parts = [_in_float32(part) for part in output]
    return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)  # a named tuple stays one
