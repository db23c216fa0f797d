"""Pre-training that has learned nothing."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from semicl_monai.utils import is_not_rank0

LEAST_SHARE = 0.1  # of what chance leaves to be found


class ChanceWarning:
    """Say at the end of a pre-training that its score is that of chance: its weights are of no help.

    So it is where the last score is above chance by less than a tenth of the way from there to 1. Of 16 anchors with a
    chance of 1 in 15, as a batch of 8 images has, 3 would have to be hits. A score that is missing or ``nan`` tells
    nothing, and nothing is said.

    Args:
        evaluator: the engine with the score and its chance among its metrics, both 0 to 1 and the more the better (see
            :class:`semicl_monai.handlers.PretextMetric`).
        objective: what is pre-trained for.
        name: name of the score; chance is called ``<name>_chance``.
    """

    def __init__(self, evaluator: Evaluator, objective: str, name: str = "pretext") -> None:
        self.evaluator, self.objective, self.name = evaluator, objective, name

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer; of several processes the first does."""
        if is_not_rank0():
            return
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        metrics = self.evaluator.state.metrics
        score, chance = (metrics.get(name, float("nan")) for name in (self.name, f"{self.name}_chance"))
        if score - chance < LEAST_SHARE * (1 - chance):
            engine.logger.warning(
                f"Pre-training {self.objective} is at chance: score {score:.3f}, chance {chance:.3f}, in epoch "
                f"{self.evaluator.state.epoch} of {engine.state.max_epochs}. Fine-tuning from its weights may be worse "
                "than from scratch: use more --epochs or --iterations_per_epoch, another --learning_rate, or a larger "
                "--batch_size."
            )
