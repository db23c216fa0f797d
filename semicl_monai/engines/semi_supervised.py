"""What a semi-supervised training step takes from a batch."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch


class SemiSupervisedPrepareBatch(PrepareBatch):
    """Take labelled images with their label maps, and unlabelled images.

    Returns:
        Labelled images ``(B, C, H, W[, D])``, label maps ``(B, 1, H, W[, D])``, and for the network's second argument
        unlabelled images ``(U, C, H, W[, D])``.
    """

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor], dict]:
        """Take them from a batch of a :class:`semicl_monai.data.PairedDataLoader`."""
        images, labels, unlabelled = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
            for key in ("image", "label", "unlabelled_image")
        )
        return images, labels, (unlabelled,), {}
