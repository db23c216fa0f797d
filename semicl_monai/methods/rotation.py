"""Classification of rotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from semicl_monai.engines import RotationPrepareBatch, rotation_accuracy
from semicl_monai.methods.method import SampleTransform
from semicl_monai.methods.pretraining import PretrainingMethod, one_view
from semicl_monai.networks import LinearHead


@dataclass(frozen=True)
class Rotation(PretrainingMethod):
    """Classify rotations."""

    objective: ClassVar[str] = "rotation"
    paper: ClassVar[str] = "Gidaris et al. 2018, arXiv:1803.07728"

    def loss(self) -> nn.Module:
        """Return the cross-entropy of the rotations."""
        return nn.CrossEntropyLoss()

    def head(self) -> Callable[..., nn.Module]:
        """Return the constructor of a classifier of four rotations."""
        return partial(LinearHead, out_channels=4)

    def prepare_batch(self) -> RotationPrepareBatch:
        """Return the function that rotates the images."""
        return RotationPrepareBatch()

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the accuracy."""
        return rotation_accuracy

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return transforms that make one view."""
        return one_view(draw, spatial, intensity)
