"""The best validation so far, as a part of a checkpoint."""

from __future__ import annotations

from monai.engines import Evaluator


class BestMetric:
    """Make the best key metric of an evaluator, and its epoch, part of a checkpoint.

    MONAI keeps both in the evaluator's state. No checkpoint holds that state by itself. A resumed run would therefore
    take its first validation for the best one.

    Args:
        evaluator: the engine that validates.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self.evaluator = evaluator

    def state_dict(self) -> dict[str, float]:
        """Return the best metric and its epoch."""
        state = self.evaluator.state
        return {"best_metric": float(state.best_metric), "best_metric_epoch": int(state.best_metric_epoch)}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Take over the best metric and its epoch."""
        for name, value in state_dict.items():
            setattr(self.evaluator.state, name, value)
