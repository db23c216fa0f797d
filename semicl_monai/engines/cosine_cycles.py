"""The schedule of the learning rate in fine-tuning."""

from __future__ import annotations

import math
from bisect import bisect_right

from semicl_monai.utils import InputError


# not SequentialLR of two CosineAnnealingLR: LambdaLR is one scheduler, whose state a checkpoint keeps
class CosineCycles:
    """Factor of the learning rate in each epoch, for :class:`torch.optim.lr_scheduler.LambdaLR`.

    The factor falls from 1 to 0 along a cosine during the warm-up. After the warm-up, it falls again to the end of the
    training, once or in several cycles.

    Args:
        epochs: number of epochs of the training, warm-up included.
        warm_up_epochs: number of epochs of the warm-up.
        snapshots: number of cycles after the warm-up, without the last one. The lengths of all cycles differ by one
            epoch at most.

    Attributes:
        ends: number of epochs done at the end of each of these cycles, when a snapshot is taken.

    Raises:
        InputError: When ``epochs`` is not positive, or ``warm_up_epochs`` is negative. Also when there are not more
            epochs after the warm-up than ``snapshots``, or when ``snapshots`` is negative.

    References:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts, ICLR 2017, eq. 5.
        https://arxiv.org/abs/1608.03983

    Example:
        >>> [round(CosineCycles(epochs=6, warm_up_epochs=2)(epoch), 2) for epoch in range(6)]
        [1.0, 0.5, 1.0, 0.85, 0.5, 0.15]
    """

    def __init__(self, epochs: int, warm_up_epochs: int = 0, snapshots: int = 0) -> None:
        if epochs < 1:
            raise InputError(f"epochs must be at least 1, got {epochs}.")
        if warm_up_epochs < 0:
            raise InputError(f"warm_up_epochs must not be negative, got {warm_up_epochs}.")
        rest = max(epochs - warm_up_epochs, 1)
        if not 0 <= snapshots < rest:
            raise InputError(
                f"snapshots must be at least 0 and below {rest}, the epochs after the warm-up, got {snapshots}."
            )
        *self.ends, end = [warm_up_epochs + rest * number // (snapshots + 1) for number in range(1, snapshots + 2)]
        self.bounds = [0, *([warm_up_epochs] if warm_up_epochs else []), *self.ends, end]

    def __call__(self, epoch: int) -> float:
        # the scheduler also asks for the epoch after the last one
        cycle = min(bisect_right(self.bounds, epoch), len(self.bounds) - 1)
        begin, end = self.bounds[cycle - 1], self.bounds[cycle]
        return (1 + math.cos(math.pi * (epoch - begin) / (end - begin))) / 2
