"""What every method with a teacher has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.data import SegmentationDatalist
from semicl_monai.engines import SemiSupervisedPrepareBatch
from semicl_monai.handlers import ConsistencyRampUp, PretextMetric, TeacherEMA
from semicl_monai.methods.fine_tuning import FineTuningMethod


@dataclass(frozen=True)
class SemiSupervisedMethod(FineTuningMethod):
    """A method whose student learns from a teacher on unlabelled images, the moving average of the student.

    Args:
        consistency_weight: of the term for unlabelled images, after the ramp-up.
        warm_up_epochs: epochs by labels alone.
        ramp_up_epochs: epochs in which the weight rises.
        teacher_decay: how slowly the teacher follows.

    Attributes:
        score: name in TensorBoard of how well student and teacher agree.
        waits_for_teacher: whether it learns by labels alone until its teacher is worth listening to.
    """

    labels: ClassVar[bool] = True
    images: ClassVar[bool] = True
    score: ClassVar[str] = "consistency"
    waits_for_teacher: ClassVar[bool] = False

    consistency_weight: float = 1.0
    warm_up_epochs: int = 0
    ramp_up_epochs: int = 1
    teacher_decay: float = 0.99

    def prepare_batch(self) -> SemiSupervisedPrepareBatch:
        """Return what takes labelled images, their labels and unlabelled images."""
        return SemiSupervisedPrepareBatch()

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the teacher."""
        return model.teacher  # type: ignore[return-value]

    def unlabelled(self, datalist: SegmentationDatalist) -> list[dict]:
        """Return all unlabelled volumes."""
        return datalist.unlabelled

    def agreement(self) -> Callable[..., Any]:
        """Return what tells how well student and teacher agree."""
        raise NotImplementedError

    def handlers(self, model: Any, loss: Any, iterations_per_epoch: int) -> list[Any]:
        """Return the ramp-up of the loss, the moving average of the student, and how well both agree."""
        warm_up, ramp_up = (epochs * iterations_per_epoch for epochs in (self.warm_up_epochs, self.ramp_up_epochs))
        return [
            ConsistencyRampUp(loss, self.consistency_weight, steps=ramp_up, warm_up_steps=warm_up),
            TeacherEMA(model, decay=self.teacher_decay, warm_up_steps=warm_up),
            PretextMetric(self.agreement(), name=self.score),
        ]
