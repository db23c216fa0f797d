"""Pre-training that has learned nothing."""

from __future__ import annotations

from ignite.engine import Engine, Events
from monai.engines import Evaluator

from semicl_monai.utils import is_not_rank0

LEAST_SHARE = 0.1  # of the distance from chance to 1


class ChanceWarning:
    """Warn at the end of pre-training when its score is no better than chance.

    Weights at chance level are of no help. The warning is given when the last score is above chance by less than a
    tenth of the distance from chance to 1. Example: a batch of 8 images has 16 anchors, each with a chance of 1 in 15.
    At least 3 of the 16 anchors would have to be hits. There is no warning when the score is missing or ``nan``.

    Args:
        evaluator: the engine that has the score and the chance level among its metrics. Both lie between 0 and 1, and
            higher is better (see :class:`semicl_monai.handlers.PretextMetric`).
        objective: the objective of the pre-training, as the warning names it.
        name: name of the score. The chance level is called ``<name>_chance``.
    """

    def __init__(self, evaluator: Evaluator, objective: str, name: str = "pretext") -> None:
        self.evaluator, self.objective, self.name = evaluator, objective, name

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, in the first process only."""
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
