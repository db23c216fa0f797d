"""A loss on the batch of all processes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.utils.distributed import all_gather_rows


class GlobalBatchLoss(_Loss):
    """Compute a loss on the joined batches of all ranks of ``torch.distributed``.

    A loss that is no mean over the samples, such as the Dice loss of a whole batch, is thereby the same as in one
    process, and so are the gradients of the parameters once DistributedDataParallel has averaged them. In one process
    it is the loss itself.

    Args:
        loss: any loss on ``input`` and ``target`` ``(B, ...)``.

    Example:
        >>> import torch
        >>> GlobalBatchLoss(torch.nn.MSELoss())(torch.zeros(2, 1), torch.ones(2, 1))
        tensor(1.)
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Compute the loss of ``input`` and ``target``, of which ranks may have different numbers of rows."""
        return self.loss(all_gather_rows(input), all_gather_rows(target))
