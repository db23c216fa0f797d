"""One progress bar for a whole stage, with the time that is left."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import ProgressBar
from tqdm import tqdm

from semicl_monai.handlers.step_pace import StepPace, warm_up_epochs
from semicl_monai.utils import duration, is_not_rank0

FORMAT = "{{desc}}{{percentage:3.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}} {{unit}}s [{{elapsed}}<{left}{{postfix}}]"
TOLD_AFTER = 10  # steps


class EpochProgress(ProgressBar):
    """An :class:`ignite.handlers.ProgressBar` over the steps of all epochs, with the last loss and the time left.

    The time left is that of :class:`StepPace`. After the tenth step, the log has a line with the time of all epochs. A
    resumed run counts what is left.

    If the loader has ``warm_up_epochs``, later steps take longer. Until then the time left is that at the pace of the
    warm-up; the bar shows it with a ``+``. Ten steps after the warm-up, the log has a new line.

    If the output is neither a terminal nor a notebook, the bar is printed once an epoch.

    Args:
        desc: text before the bar.
        unit: name of a step.
        results: folder of the results, which the log names at the end.
        kwargs: other arguments of :class:`ignite.handlers.ProgressBar`.
    """

    def __init__(self, desc: str, unit: str = "step", results: str | Path | None = None, **kwargs: Any) -> None:
        super().__init__(desc=desc, persist=True, unit=unit, miniters=1, **kwargs)
        self.desc, self.unit, self.results, self.pace = desc, unit, results, StepPace()

    def attach(self, engine: Engine, *args: Any, **kwargs: Any) -> None:  # type: ignore[override]
        """Attach to a trainer or an evaluator. Only the first of several processes shows the bar."""
        if is_not_rank0():
            return
        self.pace.attach(engine)
        engine.add_event_handler(Events.EPOCH_STARTED, self._open)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._advance)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _open(self, engine: Engine) -> None:
        if self.pbar is not None:
            return
        epochs, length = engine.state.max_epochs, engine.state.epoch_length
        self.pbar = self.pbar_cls(
            total=epochs * length if epochs and length else None,
            initial=engine.state.iteration,
            leave=self.persist,
            bar_format=FORMAT.format(left="?"),
            **{**self.tqdm_kwargs, "desc": f"{self._title(engine)}: "},
        )

    def _advance(self, engine: Engine) -> None:
        if self._is_live() or engine.state.iteration % (engine.state.epoch_length or 1) == 0:
            self._show(engine)
        if self.pace.done(engine) == TOLD_AFTER:
            self._tell(engine)

    def _is_live(self) -> bool:
        """Whether the bar is redrawn in its place."""
        file: Any = self.tqdm_kwargs.get("file", sys.stderr)
        return "notebook" in self.pbar_cls.__module__ or file.isatty()

    def _show(self, engine: Engine) -> None:
        bar: Any = self.pbar
        bar.bar_format = FORMAT.format(left=self._left(engine))
        bar.set_description(self._title(engine), refresh=False)
        bar.set_postfix(_last_loss(engine.state.output), refresh=False)
        bar.update(engine.state.iteration - bar.n)

    def _close(self, engine: Engine) -> None:
        if self.pbar is not None:
            self.pbar.bar_format = FORMAT.format(left="00:00")
        super()._close(engine)
        if self.results is not None:
            engine.logger.info(f"{self.desc}: the results are in {self.results}.")

    def _left(self, engine: Engine) -> str:
        seconds = self.pace.seconds_left(engine)
        if seconds is None:
            return "?"
        return f"{tqdm.format_interval(seconds)}{'+' if _in_warm_up(engine) else ''}"

    def _title(self, engine: Engine) -> str:
        epochs = engine.state.max_epochs
        return self.desc if epochs == 1 else f"{self.desc} [{engine.state.epoch}/{epochs}]"

    def _tell(self, engine: Engine) -> None:
        seconds = self.pace.seconds_left(engine)
        if seconds is None:
            return
        line = f"{self.desc}: {self._amount(engine)}, about {duration(seconds)} ({self.pace.seconds_a_step:.2g} s each"
        if _in_warm_up(engine):
            line += f" in the warm-up; steps after epoch {warm_up_epochs(engine)} take longer"
        with tqdm.external_write_mode():  # so that the line does not follow the bar
            engine.logger.info(f"{line}).")

    def _amount(self, engine: Engine) -> str:
        """Return the number of epochs and steps, from the first one that was measured on."""
        epochs, length = engine.state.max_epochs or 1, engine.state.epoch_length or 1
        left = epochs - self.pace.first // length
        if epochs == 1:
            return f"{length} {self.unit}s"
        return f"{left if left == epochs else f'the last {left} of {epochs}'} epochs of {length} {self.unit}s"


def _in_warm_up(engine: Engine) -> bool:
    return engine.state.epoch <= warm_up_epochs(engine)


def _last_loss(output: Any) -> dict[str, float]:
    """Return the loss of the output of a trainer, decollated or not. An evaluator has none."""
    first = output[0] if isinstance(output, list) and output else output
    return {"loss": float(first["loss"])} if isinstance(first, Mapping) and "loss" in first else {}
