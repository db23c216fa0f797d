"""The teacher follows its student."""

from __future__ import annotations

from ignite.engine import Engine, Events
from ignite.handlers import EMAHandler

from semicl_monai.networks import MeanTeacher
from semicl_monai.utils import InputError


class TeacherEMA(EMAHandler):
    r"""Move a teacher towards its student after every step.

    .. math::
        \theta' \leftarrow \alpha \theta' + (1 - \alpha) \theta,
        \qquad \alpha = \min(1 - 1 / (t + 1), \alpha_\mathrm{max})

    after step :math:`t = 1, 2, \ldots`. The teacher therefore forgets its start quickly. During a warm-up, the teacher
    is a copy of the student. After a warm-up, :math:`\alpha = \alpha_\mathrm{max}` from the first step on, because the
    teacher is then worth keeping. Buffers are copied.

    Args:
        model: the student and its teacher.
        decay: :math:`\alpha_\mathrm{max}`, above 0 and below 1.
        warm_up_steps: steps of the warm-up.

    Raises:
        InputError: When ``decay`` is not between 0 and 1.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017, eq. 2 and section 3 (the ramp-up of
        alpha as in its code). https://arxiv.org/abs/1703.01780
    """

    def __init__(self, model: MeanTeacher, decay: float = 0.99, warm_up_steps: int = 0) -> None:
        if not 0 < decay < 1:
            raise InputError(f"teacher_decay must be above 0 and below 1, got {decay}.")
        super().__init__(model.student, momentum=1 - decay, handle_buffers="copy")
        self.ema_model, self.warm_up_steps = model.teacher, warm_up_steps

    def attach(self, engine: Engine) -> None:  # type: ignore[override]
        """Attach to a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.set_momentum)
        super().attach(engine, warn_if_exists=False)

    def set_momentum(self, engine: Engine) -> None:
        """Set the share of the student in this step's update."""
        step = engine.state.iteration
        if self.warm_up_steps:
            momentum = 1.0 if step <= self.warm_up_steps else self.momentum
        else:
            momentum = max(1 / (step + 1), self.momentum)
        engine.state.ema_momentum = momentum  # type: ignore[attr-defined]

    def _update_ema_model(self, engine: Engine, name: str) -> None:
        super()._update_ema_model(engine, name)
        # ignite makes the teacher share the student's buffers, which the next step would change in place
        for buffer in self.ema_model.buffers():
            buffer.data = buffer.data.clone()
