"""One progress bar for a whole stage."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from monai.handlers import from_engine

from semicl_monai.utils import is_not_rank0


class EpochProgress(ProgressBar):
    """An :class:`ignite.handlers.ProgressBar` over epochs that shows the last loss.

    Args:
        desc: text before the bar.
        kwargs: other arguments of :class:`ignite.handlers.ProgressBar`.
    """

    def __init__(self, desc: str, **kwargs: Any) -> None:
        super().__init__(desc=desc, persist=True, **kwargs)

    def attach(self, engine: Engine, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Attach to a trainer that decollates its output.

        MONAI's trainers decollate by default. Only the first of several processes shows the bar.
        """
        if is_not_rank0():
            return
        super().attach(
            engine,
            output_transform=lambda output: {"loss": from_engine(["loss"], first=True)(output)},
            event_name=Events.EPOCH_COMPLETED,
            closing_event_name=Events.COMPLETED,
        )
