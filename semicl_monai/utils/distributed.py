"""Several processes: how they start, how they share a batch, and how they gather tensors with gradients."""

from __future__ import annotations

import logging
import os
from typing import Any

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn.parallel import DistributedDataParallel

from semicl_monai.utils.command_line import started_by_user
from semicl_monai.utils.errors import InputError

logger = logging.getLogger(__name__)


def in_several_processes() -> bool:
    """Whether ``torch.distributed`` is initialised."""
    return dist.is_available() and dist.is_initialized()


# Not ignite.distributed: if other code has initialised the process group, the first use of ignite.distributed waits for
# all ranks. Once the group is destroyed, any use of ignite.distributed is an error.
def rank_and_size() -> tuple[int, int]:
    """Rank of this process and number of processes; ``(0, 1)`` when ``torch.distributed`` is not initialised.

    Example:
        >>> rank_and_size()
        (0, 1)
    """
    return (dist.get_rank(), dist.get_world_size()) if in_several_processes() else (0, 1)


def is_not_rank0() -> bool:
    """Whether this process leaves reports and files to the first process.

    Example:
        >>> is_not_rank0()
        False
    """
    return rank_and_size()[0] > 0


def local_device() -> torch.device:
    """The GPU of this process (the first one, if there is a single process), or the CPU without a GPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def start_processes(device: torch.device | str) -> None:
    """Join the processes that ``torchrun`` has started, by NCCL on GPUs and by gloo on CPUs.

    Args:
        device: this process's device.

    Raises:
        InputError: When the processes were not started by ``torchrun``.
    """
    if "WORLD_SIZE" not in os.environ:
        raise InputError("multi_gpu_*.json must be run by torchrun --nproc_per_node=N -m monai.bundle run ...")
    if in_several_processes():  # a federated-learning client initialises twice
        return
    # by ignite and not by torch: otherwise each of ignite's handlers would join the processes at its own first use
    idist.initialize("nccl" if torch.device(device).type == "cuda" else "gloo")


def data_parallel(
    network: nn.Module, device: torch.device | str, find_unused_parameters: bool = False
) -> DistributedDataParallel:
    """Average the gradients of ``network`` over the processes.

    The gradients travel in a process group of their own, and the common group gathers. One group for both could crash:
    the network outlives :func:`ignite.distributed.finalize`, and so do the threads of its group. A gloo thread could
    then free a tensor of the last ``all_gather`` just after the interpreter has gone. That aborts the process
    (SIGABRT). The common group ends, and its threads end with it.

    Args:
        network: the network, already on ``device``.
        device: this process's device.
        find_unused_parameters: as in :class:`torch.nn.parallel.DistributedDataParallel`.
    """
    device_ids = [device] if torch.device(device).type == "cuda" else None
    return DistributedDataParallel(
        network, device_ids, process_group=dist.new_group(), find_unused_parameters=find_unused_parameters
    )


def share_of_rank(batch_size: int) -> int:
    """Number of volumes of a batch that this process takes.

    MONAI Label, whose user does not see errors, gets the nearest batch size that the processes can share.

    Raises:
        InputError: When a user has started the run and the processes cannot share the batch evenly.

    Example:
        >>> share_of_rank(4)
        4
    """
    size = rank_and_size()[1]
    share = max(1, round(batch_size / size))
    if share * size != batch_size:
        wanted = f"batch_size must be a multiple of the number of processes {size}, got {batch_size}"
        if started_by_user():
            raise InputError(f"{wanted}.")
        logger.warning(f"{wanted}; taking {share * size}.")
    return share


def all_gather_with_gradient(tensor: Tensor, dim: int = 0) -> Tensor:
    """Join the tensors of all ranks along ``dim``, in the order of the ranks.

    Suppose that every rank computes the same loss from the result. The gradient of a rank's ``tensor`` is then larger
    than in one process with the whole batch. The factor is the world size. DistributedDataParallel averages over the
    ranks, so the gradients of the *parameters* equal those of one process.

    Args:
        tensor: the tensor of this rank. Its shape must be the same on every rank.
        dim: the dimension to join along.

    Returns:
        The joined tensor; ``tensor`` itself when ``torch.distributed`` is not initialised.

    Example:
        >>> all_gather_with_gradient(torch.tensor([1.0, 2.0]))
        tensor([1., 2.])
    """
    if not in_several_processes():
        return tensor
    gathered: Tensor = _AllGather.apply(tensor)  # type: ignore[no-untyped-call]  # torch's own
    return torch.cat(gathered.unbind(), dim=dim)


def all_gather_rows(tensor: Tensor) -> Tensor:
    """The rows of all ranks' tensors in the order of the ranks; ranks may differ in their number of rows.

    The number of rows may differ between ranks. The gradients are those of :func:`all_gather_with_gradient`.

    Args:
        tensor: the tensor of this rank. All dimensions but the first must be the same on every rank.

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


def all_gather_object(content: Any) -> list[Any]:
    """The objects of all ranks, in the order of the ranks; any object that can be pickled.

    Example:
        >>> all_gather_object("a")
        ['a']
    """
    if not in_several_processes():
        return [content]
    # in a list: ignite gathers numbers and text as tensors, and waits forever if another rank gives another type
    gathered: Any = idist.all_gather([content])
    return [own for [own] in gathered]


def largest_over_ranks(number: int, device: torch.device) -> int:
    """Return the largest of the numbers of all ranks.

    Args:
        number: the number of this rank.
        device: a device that the process group can communicate from.

    Returns:
        The largest number; ``number`` itself when ``torch.distributed`` is not initialised.

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
    """Stack the tensors of all ranks.

    torch has its own all-gather with a gradient, but that function is deprecated from torch 2.13 on.
    """

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
