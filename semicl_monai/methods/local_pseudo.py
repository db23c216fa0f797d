"""Pixels are contrasted by their labels and by those of a teacher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from semicl_monai.engines import SampledLoss
from semicl_monai.losses import LocalPseudoLoss, SupConLoss
from semicl_monai.methods.local import dense_head
from semicl_monai.methods.self_training import SelfTrainingMethod
from semicl_monai.networks import LocalPseudo
from semicl_monai.samplers import StrideSampler


@dataclass(frozen=True)
class LocalPseudoMethod(SelfTrainingMethod):
    """Contrast pixels by all labels.

    Args:
        temperature: of the contrast.
        pixel_sampler: takes the pixels that are contrasted.
    """

    paper: ClassVar[str] = "Chaitanya et al. 2023, arXiv:2112.09645"
    contrasts_pixels: ClassVar[bool] = True
    has_unused_parameters: ClassVar[bool] = True

    consistency_weight: float = 0.1
    pseudo_threshold: float = 0.9
    temperature: float = 0.1
    pixel_sampler: Callable[..., tuple[Tensor, Tensor]] = field(default_factory=StrideSampler)

    def model(self, network: nn.Module) -> nn.Module:
        """Return student and teacher, with a head for the pixels of the student."""
        return LocalPseudo(network, dense_head(), transform=self.strong_transforms())

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the supervised loss with the contrast of pixels."""
        contrast = SampledLoss(self.pixel_sampler, SupConLoss(temperature=self.temperature, background_index=0))
        return LocalPseudoLoss(supervised, contrast, threshold=self.pseudo_threshold)
