"""Preparation of the batches of a jigsaw training."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch

from semicl_monai.engines.targets import image_number


class JigsawPrepareBatch(PrepareBatch):
    """Take whole images, their shuffled patches, and the images' numbers.

    Returns:
        Images ``(B, C, H, W[, D])``, their numbers ``(B,)``, and the patches ``(B * P, C, h, w[, d])``. The patches are
        the network's second argument. The P patches of an image follow one another.
    """

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor], dict[str, Any]]:
        """Take ``image`` and ``patches`` as returned by :class:`semicl_monai.transforms.RandJigsawd`."""
        images, patches = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs) for key in ("image", "patches")
        )
        return images, image_number(batchdata).to(images.device), (patches.flatten(0, 1),), {}
