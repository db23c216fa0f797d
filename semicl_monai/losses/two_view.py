"""Losses that take two views as two arguments."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.modules.loss import _Loss


class TwoViewLoss(_Loss):
    """Call a loss with the two views of a batch as two arguments.

    Args:
        loss: a loss of two embeddings ``(B, C)``, such as :class:`monai.losses.BarlowTwinsLoss`.

    Example:
        >>> import torch
        >>> TwoViewLoss(torch.nn.MSELoss())(torch.tensor([[0.0], [1.0]])).item()
        1.0
    """

    def __init__(self, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, input: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss of embeddings ``(2B, C)``: view 1 of every image, then view 2 in the same order.

        ``target`` is not used.
        """
        first, second = input.chunk(2)
        return self.loss(first, second)
