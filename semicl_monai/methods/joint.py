"""Contrast of labelled pixels and of all images at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import nn

from semicl_monai.losses import JointContrastLoss, NTXentLoss
from semicl_monai.methods.local import Local
from semicl_monai.networks import GlobalHead


@dataclass(frozen=True)
class Joint(Local):
    """Global and local contrast at once.

    Args:
        global_temperature: temperature of the global loss.
    """

    objective: ClassVar[str] = "joint"
    images: ClassVar[bool] = True
    pairs_images: ClassVar[bool] = True

    global_temperature: float = 0.5

    def loss(self) -> nn.Module:
        """Return the sum of both contrasts."""
        return JointContrastLoss(local_loss=super().loss(), global_loss=NTXentLoss(self.global_temperature))

    def global_head(self) -> Callable[..., nn.Module]:
        """Return the constructor of a head for images."""
        return partial(GlobalHead, out_channels=128)
