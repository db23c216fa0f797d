"""Consistency of a student with its teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.engines import consistency
from semicl_monai.losses import ConsistencyLoss
from semicl_monai.methods.semi_supervised import SemiSupervisedMethod
from semicl_monai.networks import MeanTeacher


@dataclass(frozen=True)
class MeanTeacherMethod(SemiSupervisedMethod):
    """Agree with a teacher.

    Args:
        teacher_noise: standard deviation of the noise on the teacher's images.
    """

    paper: ClassVar[str] = "Tarvainen and Valpola 2017, arXiv:1703.01780"

    consistency_weight: float = 10.0
    teacher_noise: float = 0.05

    def model(self, network: nn.Module) -> nn.Module:
        """Return student and teacher."""
        return MeanTeacher(network, noise_std=self.teacher_noise, sigmoid=self.sigmoid)

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the supervised loss plus the distance of student and teacher."""
        return ConsistencyLoss(supervised)

    def agreement(self) -> Callable[..., Any]:
        """Return the distance between student and teacher."""
        return consistency
