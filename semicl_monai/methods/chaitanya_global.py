"""Contrast of partitions of volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.engines import PlaceNeighbours, TwoViewPrepareBatch, place_in_volume
from semicl_monai.losses import PartitionContrastLoss
from semicl_monai.methods.method import SampleTransform
from semicl_monai.methods.pretraining import PretrainingMethod


@dataclass(frozen=True)
class ChaitanyaGlobal(PretrainingMethod):
    """Contrast partitions of volumes (G^D).

    Args:
        temperature: of the loss.
        num_partitions: number of partitions of a volume; in 3-D along each axis.
        draw_partitions: draws samples from all partitions of a volume.
    """

    objective: ClassVar[str] = "partition"
    paper: ClassVar[str] = "Chaitanya et al. 2020, arXiv:2006.10511"

    temperature: float = 0.1
    num_partitions: int | Sequence[int] = 4
    draw_partitions: SampleTransform | None = None

    def loss(self) -> nn.Module:
        """Return the contrast of the partitions of all volumes."""
        return PartitionContrastLoss(num_partitions=self.num_partitions, temperature=self.temperature)

    def prepare_batch(self) -> TwoViewPrepareBatch:
        """Return a ``prepare_batch`` for both views and their places in the volumes."""
        return TwoViewPrepareBatch(place_in_volume)

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the score: whether the nearest sample, by embedding, of other volumes has the same partition."""
        return PlaceNeighbours(loss)

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return transforms that draw from all partitions."""
        return super().transforms(self.draw_partitions or draw, spatial, intensity)
