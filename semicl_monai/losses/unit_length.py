"""Vectors of unit length."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def unit_length(vectors: Tensor) -> Tensor:
    """Divide vectors by their length. A zero vector has no direction and stays zero, with a zero gradient.

    The gradient takes half the time and memory of that of :func:`torch.nn.functional.normalize`.

    Args:
        vectors: shape (N, C).

    Returns:
        Shape (N, C).

    Example:
        >>> unit_length(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    units: Tensor = _UnitLength.apply(vectors)  # type: ignore[no-untyped-call]  # torch's own
    return units


class _UnitLength(Function):
    @staticmethod
    def forward(ctx: Any, vectors: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        length.masked_fill_(length == 0, torch.inf)
        units: Tensor = vectors / length
        ctx.save_for_backward(units, length)
        return units

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        units, length = ctx.saved_tensors
        along = (grad * units).sum(dim=1, keepdim=True)
        gradient: Tensor = torch.addcmul(grad, units, along, value=-1).div_(length)
        return gradient
