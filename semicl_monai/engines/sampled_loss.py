"""A sampler and a loss, as one loss on dense maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss


def labels_at(labels: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return label maps ``(B, 1, H, W[, D])`` at the size of ``maps``, by nearest neighbour.

    Maps of an earlier decoder level are smaller than the image.
    """
    if labels.shape[2:] == maps.shape[2:]:
        return labels
    return F.interpolate(labels.float(), size=maps.shape[2:], mode="nearest-exact")


class SampledLoss(_Loss):
    """Contrast the pixels that a sampler takes from dense embedding maps, by their labels at the size of the maps.

    Args:
        sampler: turns maps ``(B, C, H, W[, D])`` and labels ``(B, 1, H, W[, D])`` into groups ``(G, N, C)`` and targets
            ``(G, N)``: a stride, block, full or balanced sampler, or a region sampler, which needs no labels.
        loss: a loss on these groups, such as :class:`semicl_monai.losses.SupConLoss`.
    """

    def __init__(
        self, sampler: Callable[..., tuple[torch.Tensor, torch.Tensor]], loss: Callable[..., torch.Tensor]
    ) -> None:
        super().__init__()
        self.sampler, self.loss = sampler, loss

    def forward(self, input: torch.Tensor, target: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of embeddings ``input`` under label maps ``target``, which a region sampler does not need."""
        return self.loss(*self.sampler(input, target if target is None else labels_at(target, input)))
