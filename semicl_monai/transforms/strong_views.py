"""Several strong views of one sample."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Compose, Randomizable, Transform

from semicl_monai.utils import InputError, share_random_state, transform_samples


class StrongViewsd(Randomizable, Transform):
    """Make views of an image that differ in intensity, and stack them as channels.

    Args:
        intensity: a dictionary transform on ``image_key``, or a list of them.
        num_views: number of views, 1 by default.
        image_key: image ``(C, H, W[, D])``.

    Returns:
        The sample with an image ``(num_views * C, H, W[, D])``: all channels of the first view, then of the second.

    Raises:
        InputError: When ``num_views`` is less than 1.

    References:
        Yang et al., Revisiting Weak-to-Strong Consistency in Semi-Supervised Semantic Segmentation, CVPR 2023, section
        3.3 (dual-stream perturbations). https://arxiv.org/abs/2208.09910

    Example:
        >>> from monai.transforms import RandShiftIntensityd
        >>> views = StrongViewsd(RandShiftIntensityd("image", offsets=1, prob=1), num_views=2).set_random_state(0)
        >>> views({"image": torch.zeros(1, 4, 4)})["image"].shape
        torch.Size([2, 4, 4])
    """

    def __init__(
        self,
        intensity: Callable[..., Any] | Sequence[Callable[..., Any]],
        num_views: int = 1,
        image_key: str = "image",
    ) -> None:
        if num_views < 1:
            raise InputError(f"strong_views must be 1 or more, got {num_views}.")
        self.intensity, self.num_views, self.image_key = Compose(intensity), num_views, image_key

    def set_random_state(self, seed: int | None = None, state: Any = None) -> StrongViewsd:
        """Let the transforms draw from one source."""
        super().set_random_state(seed=seed, state=state)
        share_random_state([self.intensity], self.R)
        return self

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Make the views of ``data``."""
        return self.call_many([data])[0]

    def call_many(self, samples: Sequence[Mapping[Hashable, Any]]) -> list[dict[Hashable, Any]]:
        """Make the views of each sample."""
        images = [{self.image_key: sample[self.image_key]} for sample in samples for _ in range(self.num_views)]
        views = [view[self.image_key] for view in transform_samples([self.intensity], images)]
        stacked = [torch.cat(views[first : first + self.num_views]) for first in range(0, len(views), self.num_views)]
        return [{**sample, self.image_key: image} for sample, image in zip(samples, stacked, strict=True)]
