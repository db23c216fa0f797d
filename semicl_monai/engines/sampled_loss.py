"""A sampler and a loss, as one loss on dense maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.networks import ProjectedMap


def labels_at(labels: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return label maps ``(B, 1, H, W[, D])`` at the size of ``maps``, by nearest neighbour.

    Maps of an earlier decoder level are smaller than the image.
    """
    if labels.shape[2:] == maps.shape[2:]:
        return labels
    return F.interpolate(labels.float(), size=maps.shape[2:], mode="nearest-exact")


def sample_pixels(
    sampler: Callable[..., tuple[torch.Tensor, torch.Tensor]],
    maps: torch.Tensor | ProjectedMap,
    labels: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the groups of embeddings that a sampler takes from maps, and their targets.

    Args:
        sampler: function of maps ``(B, C, H, W[, D])`` and labels ``(B, 1, H, W[, D])``.
        maps: embeddings of all pixels.
        labels: label maps, which are resized to the embeddings.
    """
    if isinstance(maps, ProjectedMap):
        return maps.sample(sampler, labels if labels is None else labels_at(labels, maps.features))
    return sampler(maps, labels if labels is None else labels_at(labels, maps))


class SampledLoss(_Loss):
    """Contrast pixels from dense embedding maps by their labels.

    A sampler takes the pixels. Label maps are first resized to the size of the embedding maps.

    Args:
        sampler: function of maps ``(B, C, H, W[, D])`` and labels ``(B, 1, H, W[, D])`` that returns groups
            ``(G, N, C)`` and targets ``(G, N)``. It is a stride, block, full, balanced or region sampler. The region
            sampler needs no labels.
        loss: a loss on these groups, such as :class:`semicl_monai.losses.SupConLoss`.
    """

    def __init__(
        self, sampler: Callable[..., tuple[torch.Tensor, torch.Tensor]], loss: Callable[..., torch.Tensor]
    ) -> None:
        super().__init__()
        self.sampler, self.loss = sampler, loss

    def forward(self, input: torch.Tensor | ProjectedMap, target: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of embeddings ``input`` for label maps ``target``. A region sampler needs no ``target``."""
        return self.loss(*sample_pixels(self.sampler, input, target))
