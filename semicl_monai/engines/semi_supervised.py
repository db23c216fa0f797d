"""Preparation of the batches of a semi-supervised training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.engines import PrepareBatch


class SemiSupervisedPrepareBatch(PrepareBatch):
    """Take labelled images with their label maps, and unlabelled images.

    Args:
        keys: keys of the network's further arguments, in order, such as unlabelled images. They are used only when the
            batch has unlabelled images.

    Returns:
        Labelled images ``(B, C, H, W[, D])``, label maps ``(B, 1, H, W[, D])`` and the network's further arguments,
        such as unlabelled images ``(U, C, H, W[, D])``.
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
        """Take images and label maps from a batch of a :class:`semicl_monai.data.PairedDataLoader`."""
        unlabelled_too = any(key.startswith("unlabelled_") for key in batchdata)
        keys = self.keys if unlabelled_too else ()
        maps = {
            key: batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs)
            for key in dict.fromkeys(["image", "label", *keys])
        }
        return maps["image"], maps["label"], tuple(maps[key] for key in keys), {}
