"""A loss of mixed images."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.modules.loss import _Loss


class MixupLoss(_Loss):
    r"""The loss of a mixed image under both its label maps: :math:`\lambda L(x, y_a) + (1 - \lambda) L(x, y_b)`.

    Args:
        loss: the loss :math:`L` of predictions and label maps.

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, eq. 1 (here the loss is mixed, not the
        label, because losses such as Dice are not linear in the label). https://arxiv.org/abs/1710.09412

    Example:
        >>> import torch
        >>> prediction, zeros, ones = torch.full((1, 1), 0.5), torch.zeros(1, 1), torch.ones(1, 1)
        >>> MixupLoss(torch.nn.MSELoss())(prediction, (zeros, ones, torch.tensor(0.25)))
        tensor(0.2500)
    """

    def __init__(self, loss: Callable[..., Tensor]) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, input: Tensor, target: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """Return the loss of ``input`` under ``(y_a, y_b, lambda)``."""
        first, second, share = target
        return share * self.loss(input, first) + (1 - share) * self.loss(input, second)
