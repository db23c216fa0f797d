"""Tensors of all processes, with gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable


def in_several_processes() -> bool:
    """Whether ``torch.distributed`` is initialised."""
    return dist.is_available() and dist.is_initialized()


def all_gather_with_gradient(tensor: Tensor, dim: int = 0) -> Tensor:
    """The tensors of all ranks, joined along ``dim`` in the order of the ranks.

    When every rank computes the same loss from the result, the gradient of its own ``tensor`` is the world size times
    that of one process with the whole batch; DistributedDataParallel averages over the ranks, so that the gradients of
    the *parameters* equal those of one process.

    Args:
        tensor: of the same shape on every rank.
        dim: the dimension to join along.

    Returns:
        The joined tensor; ``tensor`` itself when ``torch.distributed`` is not initialised.

    Example:
        >>> all_gather_with_gradient(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    return torch.cat(_AllGather.apply(tensor).unbind(), dim=dim) if in_several_processes() else tensor


def all_gather_rows(tensor: Tensor) -> Tensor:
    """The rows of all ranks' tensors in the order of the ranks; each rank may have another number of them.

    Gradients are those of :func:`all_gather_with_gradient`.

    Args:
        tensor: of the same shape on every rank but for its first dimension.

    Example:
        >>> all_gather_rows(torch.tensor([[1.0], [2.0]])).shape
        torch.Size([2, 1])
    """
    if not in_several_processes():
        return tensor
    counts = all_gather_with_gradient(torch.tensor([len(tensor)], device=tensor.device)).tolist()
    filled = torch.cat([tensor, tensor.new_zeros(max(counts) - len(tensor), *tensor.shape[1:])])
    parts = all_gather_with_gradient(filled).unflatten(0, (len(counts), max(counts)))
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def largest_over_ranks(number: int, device: torch.device) -> int:
    """The largest of the ranks' numbers.

    Args:
        number: this rank's number.
        device: a device the process group can communicate from.

    Returns:
        The largest; ``number`` itself when ``torch.distributed`` is not initialised.

    Example:
        >>> largest_over_ranks(3, torch.device("cpu"))
        3
    """
    if not in_several_processes():
        return number
    largest = torch.tensor(number, device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return int(largest)


class _AllGather(Function):
    """Stack the tensors of all ranks; torch's own all-gather with a gradient is deprecated from torch 2.13 on."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        gathered = [
            torch.empty_like(tensor, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())
        ]
        dist.all_gather(gathered, tensor.contiguous())
        return torch.stack(gathered)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        grad = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(grad)
        return grad[dist.get_rank()]
