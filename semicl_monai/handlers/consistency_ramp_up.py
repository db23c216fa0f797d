"""The weight of a consistency term during training."""

from __future__ import annotations

from math import exp

from ignite.engine import Engine, Events

from semicl_monai.losses import ConsistencyLoss, LocalPseudoLoss, PseudoLabelLoss
from semicl_monai.utils import InputError


class ConsistencyRampUp:
    r"""Raise the weight of a consistency term: :math:`w(t) = w_\mathrm{max} \exp(-5 (1 - t / T)^2)`.

    :math:`t` is the number of steps done, so that a resumed run goes on where it stopped; from step :math:`T` on the
    weight is :math:`w_\mathrm{max}`.

    Args:
        loss: the loss whose ``weight`` is set.
        weight: :math:`w_\mathrm{max}`.
        steps: :math:`T`.

    Raises:
        InputError: When ``weight`` is negative or ``steps`` is not positive.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017, appendix B.1.
        https://arxiv.org/abs/1703.01780
    """

    def __init__(self, loss: ConsistencyLoss | PseudoLabelLoss | LocalPseudoLoss, weight: float, steps: int) -> None:
        if weight < 0:
            raise InputError(f"consistency_weight must not be negative, got {weight}.")
        if steps < 1:
            raise InputError(f"steps of the consistency ramp-up must be positive, got {steps}.")
        self.loss, self.weight, self.steps = loss, weight, steps

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        done = min(1.0, (engine.state.iteration - 1) / self.steps)
        self.loss.weight = self.weight * exp(-5 * (1 - done) ** 2)
