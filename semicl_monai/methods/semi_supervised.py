"""The base class of methods with a teacher."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.data import SegmentationDatalist
from semicl_monai.data.sections import Record
from semicl_monai.engines import SemiSupervisedPrepareBatch
from semicl_monai.handlers import ConsistencyRampUp, PretextMetric, TeacherEMA
from semicl_monai.methods.fine_tuning import FineTuningMethod


@dataclass(frozen=True)
class SemiSupervisedMethod(FineTuningMethod, ABC):
    """A method with a student and a teacher. The teacher is the moving average of the student.

    The student learns from labels on labelled images, and from the teacher on unlabelled images.

    Args:
        consistency_weight: weight of the loss of unlabelled images, after the ramp-up.
        epochs: number of epochs of the run.
        warm_up_epochs: number of first epochs with labels alone. By default it is ``epochs / warm_up_divisor`` if the
            method waits for its teacher, else 0.
        warm_up_divisor: see ``warm_up_epochs``.
        ramp_up_epochs: number of epochs in which the weight rises. By default these are all epochs after the warm-up,
            or a quarter of them if the method waits for its teacher.
        teacher_decay: decay of the moving average.
        regions: class numbers of each region, if the network predicts regions.
        regions_class_order: the class number from each region.

    Attributes:
        score: name, in TensorBoard, of the agreement of student and teacher.
        waits_for_teacher: whether the student learns from labels alone until the teacher is good enough.
    """

    labels: ClassVar[bool] = True
    images: ClassVar[bool] = True
    score: ClassVar[str] = "consistency"
    waits_for_teacher: ClassVar[bool] = False

    consistency_weight: float = 1.0
    epochs: int = 1
    warm_up_epochs: int | None = None
    warm_up_divisor: int = 4
    ramp_up_epochs: int | None = None
    teacher_decay: float = 0.99
    regions: Sequence[Sequence[int]] | None = None
    regions_class_order: Sequence[int] | None = None

    @property
    def sigmoid(self) -> bool:
        """Whether probabilities are those of regions."""
        return self.regions is not None

    @property
    def warm_up(self) -> int:
        """Number of first epochs with labels alone."""
        if self.warm_up_epochs is not None:
            return self.warm_up_epochs
        return self.epochs // self.warm_up_divisor if self.waits_for_teacher else 0

    @property
    def ramp_up(self) -> int:
        """Number of epochs in which the weight rises."""
        if self.ramp_up_epochs is not None:
            return self.ramp_up_epochs
        return max(1, (self.epochs - self.warm_up) // (4 if self.waits_for_teacher else 1))

    def prepare_batch(self) -> SemiSupervisedPrepareBatch:
        """Return a ``prepare_batch`` for labelled images, their labels, and unlabelled images."""
        return SemiSupervisedPrepareBatch()

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the teacher."""
        return model.teacher  # type: ignore[return-value]

    def unlabelled(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return all unlabelled volumes, and the images of labelled ones if these may be annotated in part."""
        return datalist.to_teach()

    @abstractmethod
    def agreement(self) -> Callable[..., Any]:
        """Return the score of the agreement of student and teacher."""

    def handlers(self, model: Any, loss: Any, iterations_per_epoch: int) -> list[Any]:
        """Return handlers for the ramp-up, for the moving average, and for the score of the agreement."""
        warm_up, ramp_up = (epochs * iterations_per_epoch for epochs in (self.warm_up, self.ramp_up))
        return [
            ConsistencyRampUp(loss, self.consistency_weight, steps=ramp_up, warm_up_steps=warm_up),
            TeacherEMA(model, decay=self.teacher_decay, warm_up_steps=warm_up),
            PretextMetric(self.agreement(), name=self.score),
        ]
