"""Self-training of two students."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.handlers import SnapshotKeeper, TeacherEMA
from semicl_monai.methods.self_training import SelfTrainingMethod
from semicl_monai.networks import CrossTeaching


@dataclass(frozen=True)
class CrossTeachingMethod(SelfTrainingMethod):
    """Two students learn from two teachers."""

    paper: ClassVar[str] = "Chen et al. 2021, arXiv:2106.01226"
    has_unused_parameters: ClassVar[bool] = True  # in a step with a single image, one student sees none

    def model(self, network: nn.Module) -> nn.Module:
        """Return both students and both teachers."""
        return CrossTeaching(network, self.strong_transforms(), **self.teaching())

    def handlers(self, model: Any, loss: Any, iterations_per_epoch: int) -> list[Any]:
        """Return the handlers of self-training, and those for the second student."""
        first, warm_up = super().handlers(model, loss, iterations_per_epoch), self.warm_up * iterations_per_epoch
        moving_average = TeacherEMA(model.other, decay=self.teacher_decay, warm_up_steps=warm_up)
        return [*first, moving_average, SnapshotKeeper(model.other, self.lr_lambda(self.epochs).ends)]
