"""Recognition of jigsaws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from torch import nn

from semicl_monai.engines import JigsawPrepareBatch, jigsaw_retrieval
from semicl_monai.losses import PIRLLoss
from semicl_monai.methods.method import SampleTransform
from semicl_monai.methods.pretraining import PretrainingMethod, one_view
from semicl_monai.networks import JigsawHead
from semicl_monai.transforms import RandJigsawd


@dataclass(frozen=True)
class PIRL(PretrainingMethod):
    """Recognise jigsaws.

    Args:
        temperature: temperature of the loss.
        patch_size: side length of a piece, in pixels.
    """

    objective: ClassVar[str] = "jigsaw"
    paper: ClassVar[str] = "Misra and van der Maaten 2020, arXiv:1912.01991"

    temperature: float = 0.07
    patch_size: int = 32

    def piece_size(self, roi_size: Sequence[int]) -> list[int]:
        """Return the size of the pieces of a jigsaw."""
        return [self.patch_size] * len(roi_size)

    def loss(self) -> nn.Module:
        """Return the contrast of an image and its jigsaw, with a memory bank of other images."""
        return PIRLLoss(temperature=self.temperature, num_negatives=1024)

    def head(self) -> Callable[..., nn.Module]:
        """Return the constructor of a head for images and for the pieces of jigsaws."""
        return partial(JigsawHead, out_channels=128)

    def prepare_batch(self) -> JigsawPrepareBatch:
        """Return the function that takes images, pieces and the numbers of the images."""
        return JigsawPrepareBatch()

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the score: how often the image nearest to a jigsaw is its own image."""
        return jigsaw_retrieval

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return transforms that make one view and a jigsaw of it."""
        return [*one_view(draw, spatial, intensity), RandJigsawd("image", patch_size=self.patch_size)]
