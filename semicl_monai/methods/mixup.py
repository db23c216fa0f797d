"""Fine-tuning on mixed images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from semicl_monai.engines import MixupPrepareBatch
from semicl_monai.losses import MixupLoss
from semicl_monai.methods.fine_tuning import FineTuningMethod


@dataclass(frozen=True)
class Mixup(FineTuningMethod):
    """Fine-tune on mixed images.

    Args:
        mixup_alpha: parameter of the Beta distribution of the mixing weights.
    """

    paper: ClassVar[str] = "Zhang et al. 2018, arXiv:1710.09412"
    labels: ClassVar[bool] = True

    mixup_alpha: float = 1.0

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the loss of a mixed image under both label maps."""
        return MixupLoss(supervised)

    def prepare_batch(self) -> MixupPrepareBatch:
        """Return the function that mixes the images of a batch."""
        return MixupPrepareBatch(self.mixup_alpha)
