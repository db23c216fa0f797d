"""Measured pace of a stage, and the time that is left at this pace."""

from __future__ import annotations

from collections import deque
from statistics import mean
from time import perf_counter

from ignite.engine import Engine, Events

SLOW_STEPS = 3  # the first steps fill caches and start threads


class StepPace:
    r"""Measure the steps of an engine and the breaks between its epochs, and estimate the time that is left.

    With :math:`s` the mean seconds of a step, :math:`b` the mean seconds of a break, and :math:`S` and :math:`B` the
    numbers of steps and breaks that are left, the estimate is

    .. math:: s S + b B

    A step is the time from the end of the step before, or from the start of the epoch. The first three steps are slower
    and do not count, once there are more. The mean is over the last ``window`` steps. Validation and saved checkpoints
    are breaks. They count from the end of the first epoch on.

    If the loader has ``warm_up_epochs``, steps take longer after these epochs. The steps are then measured anew.

    Args:
        window: number of steps in the mean.

    Attributes:
        first: number of steps before those that are measured: before this run, or before the end of the warm-up.
    """

    def __init__(self, window: int = 100) -> None:
        self.steps, self.breaks = deque[float](maxlen=window), list[float]()
        self.first, self.last = 0, 0.0

    def attach(self, engine: Engine) -> None:
        """Attach to an engine."""
        engine.add_event_handler(Events.EPOCH_STARTED, self.start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.end_step)

    def start_epoch(self, engine: Engine) -> None:
        """Take the time since the last step as a break."""
        now, is_first = perf_counter(), not self.last
        if not is_first:
            self.breaks.append(now - self.last)
        if is_first or engine.state.epoch == warm_up_epochs(engine) + 1:
            self.first = engine.state.iteration
            self.steps.clear()
        self.last = now

    def end_step(self, engine: Engine) -> None:
        """Take the time of a step."""
        now = perf_counter()
        if self.done(engine) == SLOW_STEPS + 1:
            self.steps.clear()
        self.steps.append(now - self.last)
        self.last = now

    def done(self, engine: Engine) -> int:
        """Return the number of steps that were measured."""
        return engine.state.iteration - self.first

    @property
    def seconds_a_step(self) -> float:
        """Mean seconds of a step."""
        return mean(self.steps)

    def seconds_left(self, engine: Engine) -> float | None:
        """Return the estimate, or ``None`` if the length of an epoch is unknown."""
        epochs, length = engine.state.max_epochs, engine.state.epoch_length
        if epochs is None or length is None:
            return None
        steps = epochs * length - engine.state.iteration
        breaks = epochs - engine.state.epoch + 1  # the one after this epoch too
        return steps * self.seconds_a_step + (breaks * mean(self.breaks) if self.breaks else 0.0)


def warm_up_epochs(engine: Engine) -> int:
    """Return the number of first epochs whose steps are shorter, see :class:`semicl_monai.data.PairedDataLoader`."""
    return getattr(engine.state.dataloader, "warm_up_epochs", 0)
