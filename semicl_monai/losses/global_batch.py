"""A loss on the batch of all processes."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.utils.distributed import all_gather_rows


class GlobalBatchLoss(_Loss):
    """Compute a loss on the joined batches of all ranks of ``torch.distributed``.

    Some losses are not a mean over the samples, such as the Dice loss of a whole batch. Their value is then the same as
    in one process. The gradients of the parameters are also the same, once DistributedDataParallel has averaged them.
    In one process, the loss is unchanged.

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
        """Compute the loss of ``input`` and ``target``. The number of rows may differ between ranks."""
        return self.loss(all_gather_rows(input), all_gather_rows(target))
