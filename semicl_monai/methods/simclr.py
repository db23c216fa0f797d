"""Contrast of views of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from semicl_monai.losses import NTXentLoss
from semicl_monai.methods.pretraining import PretrainingMethod


@dataclass(frozen=True)
class SimCLR(PretrainingMethod):
    """Contrast slices.

    Args:
        temperature: temperature of the loss.
    """

    objective: ClassVar[str] = "global"
    paper: ClassVar[str] = "Chen et al. 2020, arXiv:2002.05709"

    temperature: float = 0.5

    def loss(self) -> nn.Module:
        """Return the contrast of the two views of an image with all other images of the batch."""
        return NTXentLoss(temperature=self.temperature)
