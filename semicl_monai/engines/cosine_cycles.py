"""The schedule of the learning rate in fine-tuning."""

from __future__ import annotations

import math

from semicl_monai.utils import InputError


# not SequentialLR of two CosineAnnealingLR: LambdaLR is one scheduler, whose state a checkpoint keeps
class CosineCycles:
    """Factor of the learning rate in each epoch, for :class:`torch.optim.lr_scheduler.LambdaLR`.

    The factor falls from 1 to 0 along a cosine during the warm-up. After the warm-up, it falls again, once, to the end
    of the training. Without a warm-up, there is one cycle.

    Args:
        epochs: number of epochs of the training, warm-up included.
        warm_up_epochs: number of epochs of the warm-up.

    Raises:
        InputError: When ``epochs`` is not positive, or ``warm_up_epochs`` is negative.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, eq. 5.
        https://arxiv.org/abs/1608.03983

    Example:
        >>> [round(CosineCycles(epochs=6, warm_up_epochs=2)(epoch), 2) for epoch in range(6)]
        [1.0, 0.5, 1.0, 0.85, 0.5, 0.15]
    """

    def __init__(self, epochs: int, warm_up_epochs: int = 0) -> None:
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}.")
        if warm_up_epochs < 0:
            raise InputError(f"warm_up_epochs must not be negative, got {warm_up_epochs}.")
        self.warm_up_epochs, self.rest = warm_up_epochs, max(epochs - warm_up_epochs, 1)

    def __call__(self, epoch: int) -> float:
        if epoch < self.warm_up_epochs:
            return (1 + math.cos(math.pi * epoch / self.warm_up_epochs)) / 2
        return (1 + math.cos(math.pi * (epoch - self.warm_up_epochs) / self.rest)) / 2
