"""Losses of networks that predict at several levels."""

from __future__ import annotations

from monai.losses import DeepSupervisionLoss
from torch import Tensor


class StackedDeepSupervisionLoss(DeepSupervisionLoss):
    """A :class:`monai.losses.DeepSupervisionLoss` for the stacked levels of a :class:`monai.networks.nets.DynUNet`.

    Args:
        loss: loss of predictions and label maps.
        weight_mode: weights of the levels: ``"exp"`` (1, 0.5, 0.25, ...), ``"same"`` or ``"two"`` (1, 0.5, 0.5, ...).
        weights: the weights themselves.
    """

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        """Return the loss of one level ``(B, C, H, W[, D])`` or of levels ``(B, L, C, H, W[, D])``."""
        return super().forward(list(input.unbind(1)) if input.ndim > target.ndim else input, target)
