"""The score of the pretext task in each epoch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from ignite.engine import Engine, Events
from ignite.exceptions import NotComputableError
from ignite.metrics import Average
from monai.engines.utils import IterationEvents
from monai.utils import CommonKeys


class PretextMetric:
    """Put the mean pretext score of an epoch and its chance level into an engine's metrics.

    The score is ``nan`` for an epoch without an anchor. Example: all slices are of one volume, and positives must come
    from other volumes.

    Args:
        scores: function of the predictions and targets of a batch. It returns the score and the chance level of every
            anchor. Example: :func:`semicl_monai.engines.view_retrieval`.
        name: name of the metric. The chance level is called ``<name>_chance``.
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
        """Forget the previous epoch."""
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
    except NotComputableError:  # raised after the sum over all ranks
        return float("nan")
