"""Instance norm of maps with channels last."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.modules.instancenorm import _InstanceNorm

HALF = (torch.float16, torch.bfloat16)


class ChannelsLastInstanceNorm(nn.Module):
    """Instance norm that keeps channels last.

    PyTorch's own instance norm copies its input to channels first and back.

    Args:
        norm: an ``nn.InstanceNorm2d`` or ``nn.InstanceNorm3d`` without running statistics. Its parameters are shared.
    """

    def __init__(self, norm: _InstanceNorm) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps

    def reset_parameters(self) -> None:
        """Set scale and shift to their start, 1 and 0."""
        if self.weight is not None:
            nn.init.ones_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return the normalized maps ``(B, C, H, W[, D])``.

        Raises:
            ValueError: When a map has a single pixel.
        """
        if x.shape[2:].numel() == 1:
            raise ValueError(f"instance norm needs more than 1 value per channel, got maps of shape {tuple(x.shape)}.")
        x = x.as_subclass(Tensor)  # a MetaTensor would make the result a view, which no activation may change in place
        if x.dtype in HALF:
            return self._by_image(x)
        normalized: Tensor = _InstanceNormFunction.apply(x, self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        return normalized

    def _by_image(self, x: Tensor) -> Tensor:
        """Apply batch norm to each image alone, which is instance norm. In half precision this is the fastest."""
        images = [F.batch_norm(x_i, None, None, self.weight, self.bias, True, 0.0, self.eps) for x_i in x.split(1)]
        return torch.cat(images)


class _InstanceNormFunction(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
        # group norm with one channel a group is instance norm, and PyTorch has it for channels last
        count, channels = x.shape[:2]
        normalized, mean, inverse = torch.native_group_norm(
            x, weight, bias, count, channels, x.shape[2:].numel(), channels, eps
        )
        ctx.save_for_backward(x, mean, inverse, weight)
        return normalized

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        x, mean, inverse, weight = ctx.saved_tensors
        mean, inverse = mean[:, None], inverse[:, None]  # (B, 1, C)
        pixels, grads = _as_rows(x), _as_rows(grad)
        # one large tensor for all that is as large as the maps: new memory costs more than the arithmetic
        memory = grads * pixels
        grad_bias = grads.sum(dim=1, keepdim=True)
        grad_weight = (memory.sum(dim=1, keepdim=True) - mean * grad_bias) * inverse
        scale = inverse if weight is None else inverse * weight
        slope = -scale * inverse * grad_weight / pixels.shape[1]
        torch.addcmul(-scale * grad_bias / pixels.shape[1] - slope * mean, grads, scale, out=memory)
        of_maps = memory.addcmul_(pixels, slope).view(len(x), *x.shape[2:], -1).movedim(-1, 1)
        if weight is None:
            return of_maps, None, None, None
        return of_maps, grad_weight.sum(dim=(0, 1)), grad_bias.sum(dim=(0, 1)), None


def _as_rows(maps: Tensor) -> Tensor:
    """Return maps ``(B, C, H, W[, D])`` as pixels ``(B, P, C)``, without a copy if they have channels last."""
    return maps.movedim(1, -1).reshape(len(maps), -1, maps.shape[1])
