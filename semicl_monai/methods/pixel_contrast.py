"""The base class of methods that contrast pixels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from semicl_monai.engines import SampledLoss
from semicl_monai.losses import PrototypeContrast, RememberedContrast, SupConLoss
from semicl_monai.networks import DenseHead
from semicl_monai.samplers import SAMPLERS
from semicl_monai.utils import InputError, one_of


@dataclass(frozen=True)
class PixelContrast:
    """The contrast of pixels, as a part of a method.

    Args:
        temperature: of the loss.
        background_index: class whose pixels are negatives and never anchors; ``-1`` for none.
        contrast_with: what pixels are contrasted with: ``"pixels"`` of the batch, or ``"prototypes"``, the moving
            average of each class.
        contrast_memory: number of earlier steps whose pixels are contrasted too.
        pixel_sampler: chooses the pixels: a name in ``semicl_monai.samplers.SAMPLERS``, or a sampler.
        stride: of the sampler ``"stride"``, in pixels, one number or one per axis.
        block_size: of the sampler ``"block"``, in pixels, one number or one per axis.
        num_per_class: of the sampler ``"balanced"``.
        head_hidden_channels: channels of the hidden layer of the head.
        head_out_channels: size of an embedding.
        head_act: nonlinearity of the head by its name in MONAI (``"relu"``); none by default.
        sampler: the old name of ``pixel_sampler``, until 0.2.
        pixel_generator: random generator of the sampler ``"stride"``. All processes seed it alike.
    """

    contrasts_pixels: ClassVar[bool] = True

    temperature: float = 0.1
    background_index: int = 0
    contrast_with: str = "pixels"
    contrast_memory: int = 0
    pixel_sampler: str | Callable[..., Any] = "stride"
    stride: int | Sequence[int] = 4
    block_size: int | Sequence[int] = 16
    num_per_class: int = 1024
    head_hidden_channels: int = 64
    head_out_channels: int = 64
    head_act: str | None = None
    sampler: str | None = None
    pixel_generator: torch.Generator = field(default_factory=torch.Generator, repr=False)

    def __post_init__(self) -> None:
        if self.sampler is not None:
            warnings.warn("sampler is now called pixel_sampler; 0.2 drops the old name.", FutureWarning, stacklevel=3)
            object.__setattr__(self, "pixel_sampler", self.sampler)
            object.__setattr__(self, "sampler", None)

    def generators(self) -> list[torch.Generator]:
        """Return the random generators that all processes seed alike."""
        return [self.pixel_generator]

    def pixel_loss(self, *, across_ranks: bool = False) -> SampledLoss:
        """Return the supervised contrast of the pixels that the sampler chooses.

        Args:
            across_ranks: whether the pixels of all processes are contrasted together.

        Raises:
            InputError: When there is no such sampler, or when prototypes are to be contrasted with a memory too, or
                across processes.
        """
        return SampledLoss(self._build_sampler(), self._contrast(across_ranks))

    def _contrast(self, across_ranks: bool) -> nn.Module:
        about: dict[str, Any] = {"temperature": self.temperature, "background_index": self.background_index}
        if one_of(self.contrast_with, ("pixels", "prototypes"), "contrast_with") == "prototypes":
            if self.contrast_memory or across_ranks:
                got = f"contrast_memory {self.contrast_memory} and across_ranks {across_ranks}"
                raise InputError(f"prototypes need contrast_memory 0 and across_ranks False, got {got}.")
            return PrototypeContrast(**about)
        contrast = SupConLoss(**about, across_ranks=across_ranks)
        return RememberedContrast(contrast, self.contrast_memory) if self.contrast_memory else contrast

    def pixel_head(self) -> Callable[..., nn.Module]:
        """Return a function that builds the head for all pixels."""
        return partial(
            DenseHead,
            hidden_channels=self.head_hidden_channels,
            out_channels=self.head_out_channels,
            act=self.head_act,
            lazy=True,
        )

    def _build_sampler(self) -> Callable[..., Any]:
        options: dict[str, dict[str, Any]] = {
            "stride": {"stride": self.stride, "random_offset": True, "generator": self.pixel_generator},
            "block": {"block_size": self.block_size},
            "balanced": {"num_per_class": self.num_per_class},
        }
        chosen = self.pixel_sampler
        return chosen if callable(chosen) else SAMPLERS.build(chosen, options)
