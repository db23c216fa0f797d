"""Self-training with a contrast of pixels by labels and pseudo-labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from semicl_monai.losses import LocalSelfTrainingLoss
from semicl_monai.methods.local_pseudo import LocalPseudoMethod
from semicl_monai.utils import is_true


@dataclass(frozen=True)
class LocalSelfTrainingMethod(LocalPseudoMethod):
    """Learn its labels and contrast pixels.

    Args:
        contrast_weight: weight of the contrast beside the loss of the teacher's labels.
        contrast_threshold: lowest confidence of the teacher at which a pixel is contrasted.
    """

    has_unused_parameters: ClassVar[bool] = True

    consistency_weight: float = 1.0
    pseudo_threshold: float = 0.0
    copy_paste_prob: float = 0.5
    contrast_weight: float = 0.1
    contrast_threshold: float = 0.9

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the supervised loss, plus the loss of the labels of the teacher and the contrast of pixels."""
        return LocalSelfTrainingLoss(
            supervised,
            self.pixel_loss(),
            self.contrast_weight,
            self.contrast_threshold,
            self.regions_class_order,
            threshold=self.pseudo_threshold,
            soft=is_true(self.soft_pseudo_labels, "soft_pseudo_labels"),
            sigmoid=self.sigmoid,
        )
