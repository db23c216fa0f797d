"""Images turned by multiples of 90 degrees."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from monai.engines import PrepareBatch

from semicl_monai.utils import InputError


class RotationPrepareBatch(PrepareBatch):
    """Turn every image of a batch by 0, 90, 180 and 270 degrees, as classes for the network.

    Images are turned in the plane of the first two spatial axes whose edges are equal.

    Returns:
        Images ``(4B, C, H, W[, D])`` and the number of quarter turns of each, 0 to 3, ``(4B,)``. The unturned images
        come first.

    Raises:
        InputError: When no two edges of the images are equal.

    References:
        Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018, eq. 2 and 3.
        https://arxiv.org/abs/1803.07728
    """

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn the images of ``batchdata`` on ``device``."""
        images = batchdata["image"].to(device=device, non_blocking=non_blocking, **kwargs)
        plane = _square_plane(images)
        turned = torch.cat([torch.rot90(images, turns, dims=plane) for turns in range(4)])
        return turned, torch.arange(4, device=images.device).repeat_interleave(len(images))


def _square_plane(images: torch.Tensor) -> tuple[int, int]:
    for plane in combinations(range(2, images.ndim), 2):
        if images.shape[plane[0]] == images.shape[plane[1]]:
            return plane
    raise InputError(f"rotation needs square images, got {tuple(images.shape[2:])}: give a square --roi_size.")
