"""Contrast of pixels by their labels and by a teacher's pseudo-labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from semicl_monai.losses import LocalPseudoLoss
from semicl_monai.methods.pixel_contrast import PixelContrast
from semicl_monai.methods.self_training import SelfTrainingMethod
from semicl_monai.networks import LocalPseudo


@dataclass(frozen=True)
class LocalPseudoMethod(PixelContrast, SelfTrainingMethod):
    """Contrast pixels by (pseudo-)labels."""

    paper: ClassVar[str] = "Chaitanya et al. 2023, arXiv:2112.09645"
    has_unused_parameters: ClassVar[bool] = True

    consistency_weight: float = 0.1
    pseudo_threshold: float = 0.9
    copy_paste_prob: float = 0.0

    def model(self, network: nn.Module) -> nn.Module:
        """Return student and teacher, with a projection head for the student's pixels."""
        return LocalPseudo(network, self.pixel_head(), transform=self.strong_transforms(), **self.teaching())

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the sum of the supervised loss and the contrast of pixels."""
        return LocalPseudoLoss(
            supervised,
            self.pixel_loss(),
            threshold=self.pseudo_threshold,
            regions_class_order=self.regions_class_order,
        )
