"""Label maps for samples without one."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from semicl_monai.utils import IGNORED


class FillUnannotatedd(Transform):
    """Give each sample without a label map one in which no voxel is annotated (-1), so that samples can be batched.

    Args:
        image_key: image ``(C, H, W[, D])`` that gives the shape ``(1, H, W[, D])``.
        label_key: the label map.

    Example:
        >>> FillUnannotatedd()({"image": torch.zeros(2, 1, 3)})["label"]
        tensor([[[-1., -1., -1.]]])
    """

    def __init__(self, image_key: str = "image", label_key: str = "label") -> None:
        self.image_key, self.label_key = image_key, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the sample with a label map."""
        if self.label_key in data:
            return dict(data)
        return {**data, self.label_key: torch.full_like(data[self.image_key][:1], IGNORED)}
