"""Contrast of samples by their positions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.engines import PlaceNeighbours, TwoViewPrepareBatch, place_in_volume
from semicl_monai.losses import PositionContrastLoss
from semicl_monai.methods.pretraining import PretrainingMethod


@dataclass(frozen=True)
class PCL(PretrainingMethod):
    """Contrast positions of slices.

    Args:
        temperature: of the loss.
        position_threshold: largest distance of two positive samples, as a share of the volume.
    """

    objective: ClassVar[str] = "position"
    paper: ClassVar[str] = "Zeng et al. 2021, arXiv:2106.09157"

    temperature: float = 0.1
    position_threshold: float = 0.1

    def loss(self) -> nn.Module:
        """Return the contrast of near and far positions."""
        return PositionContrastLoss(threshold=self.position_threshold, temperature=self.temperature)

    def prepare_batch(self) -> TwoViewPrepareBatch:
        """Return a ``prepare_batch`` for both views and their places in the volumes."""
        return TwoViewPrepareBatch(place_in_volume)

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the score: whether the nearest sample, by embedding, of other volumes is close in position."""
        return PlaceNeighbours(loss)
