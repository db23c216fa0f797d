"""What every method with a teacher has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.data import SegmentationDatalist
from semicl_monai.data.sections import Record
from semicl_monai.engines import SemiSupervisedPrepareBatch
from semicl_monai.handlers import ConsistencyRampUp, PretextMetric, TeacherEMA
from semicl_monai.methods.fine_tuning import FineTuningMethod


@dataclass(frozen=True)
class SemiSupervisedMethod(FineTuningMethod):
    """A method whose student learns from a teacher on unlabelled images, the moving average of the student.

    Args:
        consistency_weight: of the term for unlabelled images, after the ramp-up.
        epochs: of the run.
        warm_up_epochs: epochs by labels alone; by default a part of all epochs where the method waits for its teacher.
        warm_up_divisor: which part: one in so many.
        ramp_up_epochs: epochs in which the weight rises; by default all after the warm-up, or a quarter of them where
            the method has waited.
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
    epochs: int = 1
    warm_up_epochs: int | None = None
    warm_up_divisor: int = 2
    ramp_up_epochs: int | None = None
    teacher_decay: float = 0.99

    @property
    def warm_up(self) -> int:
        """Epochs by labels alone."""
        if self.warm_up_epochs is not None:
            return self.warm_up_epochs
        return self.epochs // self.warm_up_divisor if self.waits_for_teacher else 0

    @property
    def ramp_up(self) -> int:
        """Epochs in which the weight rises."""
        if self.ramp_up_epochs is not None:
            return self.ramp_up_epochs
        return max(1, (self.epochs - self.warm_up) // (4 if self.waits_for_teacher else 1))

    def prepare_batch(self) -> SemiSupervisedPrepareBatch:
        """Return what takes labelled images, their labels and unlabelled images."""
        return SemiSupervisedPrepareBatch()

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the teacher."""
        return model.teacher  # type: ignore[return-value]

    def unlabelled(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return all unlabelled volumes."""
        return datalist.unlabelled

    def agreement(self) -> Callable[..., Any]:
        """Return what tells how well student and teacher agree."""
        raise NotImplementedError

    def handlers(self, model: Any, loss: Any, iterations_per_epoch: int) -> list[Any]:
        """Return the ramp-up of the loss, the moving average of the student, and how well both agree."""
        warm_up, ramp_up = (epochs * iterations_per_epoch for epochs in (self.warm_up, self.ramp_up))
        return [
            ConsistencyRampUp(loss, self.consistency_weight, steps=ramp_up, warm_up_steps=warm_up),
            TeacherEMA(model, decay=self.teacher_decay, warm_up_steps=warm_up),
            PretextMetric(self.agreement(), name=self.score),
        ]
