"""How the learning rate falls in fine-tuning."""

from __future__ import annotations

import math

from semicl_monai.utils import InputError


# not SequentialLR of CosineAnnealingLR: a cycle may end between two epochs
class CosineCycles:
    """Factor of the learning rate by epoch: a cosine from 1 to 0 over the warm-up, then anew, to the last epoch.

    After the warm-up there are as many cycles of equal length as come closest to its own, so that the last one ends
    with the training, whose last network is kept; without a warm-up there is one. For
    :class:`torch.optim.lr_scheduler.LambdaLR`.

    Args:
        epochs: of the training.
        warm_up_epochs: of the warm-up.

    Raises:
        InputError: When ``epochs`` is not positive, or ``warm_up_epochs`` is negative.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, eq. 5.
        https://arxiv.org/abs/1608.03983

    Example:
        >>> [round(CosineCycles(epochs=6, warm_up_epochs=2)(epoch), 2) for epoch in range(6)]
        [1.0, 0.5, 1.0, 0.5, 1.0, 0.5]
    """

    def __init__(self, epochs: int, warm_up_epochs: int = 0) -> None:
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}.")
        if warm_up_epochs < 0:
            raise InputError(f"warm_up_epochs must not be negative, got {warm_up_epochs}.")
        rest = max(epochs - warm_up_epochs, 1)
        self.warm_up_epochs = warm_up_epochs
        self.length = rest / max(1, round(rest / warm_up_epochs)) if warm_up_epochs else rest

    def __call__(self, epoch: int) -> float:
        warming = epoch < self.warm_up_epochs
        start, length = (0, self.warm_up_epochs) if warming else (self.warm_up_epochs, self.length)
        return (1 + math.cos(math.pi * ((epoch - start) % length) / length)) / 2
