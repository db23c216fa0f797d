"""Labelled pixels are contrasted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from torch import Tensor, nn

from semicl_monai.engines import PixelNeighbours, SampledLoss
from semicl_monai.losses import SupConLoss
from semicl_monai.methods.pretraining import PretrainingMethod
from semicl_monai.networks import DenseHead
from semicl_monai.samplers import StrideSampler


def dense_head() -> Callable[..., nn.Module]:
    """Return what builds a head for every pixel."""
    return partial(DenseHead, hidden_channels=64, out_channels=64)


@dataclass(frozen=True)
class Local(PretrainingMethod):
    """Contrast labelled pixels.

    Args:
        temperature: of the loss.
        pixel_sampler: takes the pixels that are contrasted.
        across_ranks: whether pixels of all processes are contrasted with each other.
    """

    objective: ClassVar[str] = "local"
    paper: ClassVar[str] = "Hu et al. 2021, arXiv:2109.07407"
    labels: ClassVar[bool] = True
    images: ClassVar[bool] = False
    contrasts_pixels: ClassVar[bool] = True
    decoder_blocks: ClassVar[int | None] = None

    tap: str | int = "decoder"
    temperature: float = 0.1
    pixel_sampler: Callable[..., tuple[Tensor, Tensor]] = field(default_factory=StrideSampler)
    across_ranks: bool = False

    def loss(self) -> nn.Module:
        """Return the supervised contrast of pixels."""
        contrast = SupConLoss(temperature=self.temperature, background_index=0, across_ranks=self.across_ranks)
        return SampledLoss(self.pixel_sampler, contrast)

    def head(self) -> Callable[..., nn.Module]:
        """Return what builds a head for every pixel."""
        return dense_head()

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return how often the pixel nearest to one of a class is of that class in another image."""
        return PixelNeighbours(StrideSampler(stride=4))
