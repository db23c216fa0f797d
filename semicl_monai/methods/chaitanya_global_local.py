"""Contrast of regions of decoder maps, after that of partitions of volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from monai.transforms import Compose
from torch import nn

from semicl_monai.engines import RegionRetrieval, SampledLoss
from semicl_monai.losses import SupConLoss
from semicl_monai.methods.chaitanya_global import ChaitanyaGlobal
from semicl_monai.methods.method import SampleTransform
from semicl_monai.methods.pretraining import PretrainingMethod
from semicl_monai.networks import DenseHead
from semicl_monai.samplers import RegionSampler
from semicl_monai.transforms import TwoViewd


@dataclass(frozen=True)
class ChaitanyaGlobalLocal(PretrainingMethod):
    """First G^D, then local regions (L^R).

    Args:
        temperature: temperature of the loss.
    """

    objective: ClassVar[str] = "region"
    paper: ClassVar[str] = "Chaitanya et al. 2020, arXiv:2006.10511"
    starts_from: ClassVar[type[PretrainingMethod] | None] = ChaitanyaGlobal
    frozen_encoder: ClassVar[bool] = True
    decoder_blocks: ClassVar[int | None] = 3

    tap: str | int = 3
    temperature: float = 0.1

    def loss(self) -> nn.Module:
        """Return the contrast of the regions of an image."""
        return SampledLoss(RegionSampler(size=3), SupConLoss(temperature=self.temperature))

    def head(self) -> Callable[..., nn.Module]:
        """Return a function that builds the head for all pixels."""
        return partial(DenseHead, hidden_channels=64, out_channels=64, lazy=True)

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the score: whether the nearest region, by embedding, is the same region of the other view."""
        return RegionRetrieval(loss.sampler)

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return transforms that make two views of the same geometry."""
        return [draw, Compose(list(spatial)), TwoViewd([], list(intensity))]
