"""Consistency of a student with its teacher under symmetries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from semicl_monai.methods.mean_teacher import MeanTeacherMethod
from semicl_monai.networks import MeanTeacher
from semicl_monai.transforms import RandSymmetry


@dataclass(frozen=True)
class TCSM(MeanTeacherMethod):
    """Agree with a teacher under symmetries."""

    paper: ClassVar[str] = "Li et al. 2020, arXiv:1903.00348"

    consistency_weight: float = 1.0

    def model(self, network: nn.Module) -> nn.Module:
        """Return student and teacher, which see the images under different symmetries."""
        return MeanTeacher(network, transform=RandSymmetry(scale=(0.9, 1.1)), sigmoid=self.sigmoid)
