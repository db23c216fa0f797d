"""Snapshots of a teacher."""

from __future__ import annotations

from collections.abc import Sequence

from ignite.engine import Engine, Events

from semicl_monai.networks import MeanTeacher


class SnapshotKeeper:
    """Keep a snapshot of a teacher at the end of some epochs.

    Args:
        model: the student and its teacher.
        epochs: the epochs, counted from 1.
    """

    def __init__(self, model: MeanTeacher, epochs: Sequence[int]) -> None:
        self.model, self.epochs = model, epochs

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if engine.state.epoch in self.epochs:
            self.model.snapshots.keep(self.model.teacher)  # type: ignore[union-attr] # there are as many as epochs
