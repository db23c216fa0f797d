"""Whether pre-training learns what it is meant to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Average
from monai.utils import CommonKeys


class PretextMetric:
    """Put the mean pretext score of an epoch into an engine's metrics, and beside it what chance would score.

    An epoch without an anchor, such as slices of one volume whose positives are sought in others, scores ``nan``.

    Args:
        scores: tells for predictions and targets of a batch the score of every anchor and what chance would score, such
            as :func:`semicl_monai.engines.view_retrieval`.
        name: name of the metric; chance is called ``<name>_chance``.
    """

    def __init__(self, scores: Callable, name: str = "pretext") -> None:
        self.scores, self.name = scores, name

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or evaluator that does not decollate, before the handlers that report its metrics."""
        for column, name in enumerate((self.name, f"{self.name}_chance")):
            _Mean(output_transform=lambda output, column=column: self._column(output, column)).attach(engine, name)

    def _column(self, output: dict[str, Any], column: int) -> Any:
        # ignite takes a tensor of two dimensions for one value a row
        return self.scores(output[CommonKeys.PRED], output[CommonKeys.LABEL])[column][:, None]


class _Mean(Average):
    def compute(self) -> float:
        try:
            return float(super().compute())
        except NotComputableError:  # raised behind the sum over all ranks
            return float("nan")
