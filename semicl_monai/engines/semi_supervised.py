"""Preparation of the batches of a semi-supervised training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch


class SemiSupervisedPrepareBatch(PrepareBatch):
    """Take labelled images with their label maps, and unlabelled images.

    Args:
        keys: keys of the unlabelled images, in the order of the network's further arguments. They are used only when
            the batch has unlabelled images.
        labels_too: whether the label maps are the last further argument of the network.

    Returns:
        Labelled images ``(B, C, H, W[, D])``, label maps ``(B, 1, H, W[, D])`` and unlabelled images
        ``(U, C, H, W[, D])``. The unlabelled images are the network's further arguments.
    """

    def __init__(self, keys: Sequence[str] = ("unlabelled_image",), labels_too: bool = False) -> None:
        self.keys, self.labels_too = keys, labels_too

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...], dict[str, Any]]:
        """Take images and label maps from a batch of a :class:`semicl_monai.data.PairedDataLoader`."""
        unlabelled_too = any(key.startswith("unlabelled_") for key in batchdata)
        images, labels, *unlabelled = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
            for key in ("image", "label", *(self.keys if unlabelled_too else ()))
        )
        further = (*unlabelled, labels) if unlabelled and self.labels_too else tuple(unlabelled)
        return images, labels, further, {}
