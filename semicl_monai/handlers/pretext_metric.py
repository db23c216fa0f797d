"""Whether pre-training learns what it is meant to."""

from __future__ import annotations

from collections.abc import Callable

import torch
from ignite.engine import Engine, Events
from ignite.exceptions import NotComputableError
from ignite.metrics import Average
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys


class PretextMetric:
    """Put the mean pretext score of an epoch into an engine's metrics, and beside it what chance would score.

    An epoch without an anchor, such as slices of one volume whose positives are sought in others, scores ``nan``.

    Args:
        scores: tells for predictions and targets of a batch the score of every anchor and what chance would score, such
            as :func:`semicl_monai.engines.view_retrieval`.
        name: name of the metric; chance is called ``<name>_chance``.
    """

    def __init__(self, scores: Callable[..., tuple[torch.Tensor, torch.Tensor]], name: str = "pretext") -> None:
        self.scores = scores
        self.means = {name: Average(), f"{name}_chance": Average()}

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer or evaluator of MONAI, before the handlers that report its metrics."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.reset)
        # whole batches, before the engine decollates them
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.report)

    def reset(self, engine: Engine) -> None:
        """Forget the epoch before."""
        for mean in self.means.values():
            mean.reset()

    @torch.no_grad()
    def __call__(self, engine: Engine) -> None:
        output = engine.state.output
        columns = self.scores(output[CommonKeys.PRED], output[CommonKeys.LABEL])  # type: ignore[index]
        for mean, values in zip(self.means.values(), columns, strict=True):
            mean.update(values[:, None])  # two dimensions: one value a row

    def report(self, engine: Engine) -> None:
        """Put the means into the engine's metrics."""
        engine.state.metrics.update({name: _value(mean) for name, mean in self.means.items()})


def _value(mean: Average) -> float:
    try:
        return float(mean.compute())
    except NotComputableError:  # raised behind the sum over all ranks
        return float("nan")
