"""The weight of a consistency term during training."""

from __future__ import annotations

from math import exp

from ignite.engine import Engine, Events

from semicl_monai.losses import ConsistencyLoss, LocalPseudoLoss, PseudoLabelLoss
from semicl_monai.utils import InputError


class ConsistencyRampUp:
    r"""Raise the weight of a consistency term: :math:`w(t) = w_\mathrm{max} \exp(-5 (1 - t / T)^2)`.

    :math:`t` is the number of steps done. A resumed run therefore continues where it stopped. From step :math:`T` on,
    the weight is :math:`w_\mathrm{max}`. Steps are counted from the end of the warm-up. During the warm-up, the weight
    is zero.

    Args:
        loss: the loss whose ``weight`` is set.
        weight: :math:`w_\mathrm{max}`.
        steps: :math:`T`.
        warm_up_steps: steps of the warm-up.

    Raises:
        InputError: When ``weight`` is negative or ``steps`` is not positive.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017, appendix B.1.
        https://arxiv.org/abs/1703.01780
    """

    def __init__(
        self,
        loss: ConsistencyLoss | PseudoLabelLoss | LocalPseudoLoss,
        weight: float,
        steps: int,
        warm_up_steps: int = 0,
    ) -> None:
        if weight < 0:
            raise InputError(f"consistency_weight must not be negative, got {weight}.")
        if steps < 1:
            raise InputError(f"steps of the consistency ramp-up must be positive, got {steps}.")
        self.loss, self.weight, self.steps, self.warm_up_steps = loss, weight, steps, warm_up_steps

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        step = engine.state.iteration - 1 - self.warm_up_steps
        done = min(1.0, step / self.steps)
        self.loss.weight = self.weight * exp(-5 * (1 - done) ** 2) if step >= 0 else 0.0
