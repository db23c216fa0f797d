"""What a semi-supervised training step takes from a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch


class SemiSupervisedPrepareBatch(PrepareBatch):
    """Take labelled images with their label maps, and unlabelled images.

    Args:
        keys: the unlabelled images to take where there are some, in the order of the network's further arguments.

    Returns:
        Labelled images ``(B, C, H, W[, D])``, label maps ``(B, 1, H, W[, D])``, and for the network's further arguments
        unlabelled images ``(U, C, H, W[, D])``.
    """

    def __init__(self, keys: Sequence[str] = ("unlabelled_image",)) -> None:
        self.keys = keys

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...], dict[str, Any]]:
        """Take them from a batch of a :class:`semicl_monai.data.PairedDataLoader`."""
        unlabelled_too = any(key.startswith("unlabelled_") for key in batchdata)
        images, labels, *unlabelled = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
            for key in ("image", "label", *(self.keys if unlabelled_too else ()))
        )
        return images, labels, tuple(unlabelled), {}
