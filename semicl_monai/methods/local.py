"""Contrast of labelled pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semicl_monai.engines import PixelNeighbours
from semicl_monai.methods.pixel_contrast import PixelContrast
from semicl_monai.methods.pretraining import PretrainingMethod
from semicl_monai.samplers import StrideSampler


@dataclass(frozen=True)
class Local(PixelContrast, PretrainingMethod):
    """Contrast labelled pixels.

    Args:
        across_ranks: whether the pixels of all processes are contrasted together.
    """

    objective: ClassVar[str] = "local"
    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2109.07407"
    labels: ClassVar[bool] = True
    images: ClassVar[bool] = False
    decoder_blocks: ClassVar[int | None] = None

    tap: str | int = "decoder"
    across_ranks: bool = False

    def loss(self) -> nn.Module:
        """Return the supervised contrast of pixels."""
        return self.pixel_loss(across_ranks=self.across_ranks)

    def head(self) -> Callable[..., nn.Module]:
        """Return a function that builds the head for all pixels."""
        return self.pixel_head()

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the score: whether the nearest pixel, by embedding, of other images has the same class."""
        return PixelNeighbours(StrideSampler(stride=4))
