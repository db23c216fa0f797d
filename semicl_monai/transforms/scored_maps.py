"""Maps of classes or regions for the Dice score, without voxels to ignore."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.networks import one_hot
from monai.transforms import Transform
from monai.utils import convert_to_tensor

from semicl_monai.utils import check_regions, region_maps


class ScoredMapsd(Transform):
    """Turn logits and a label map into a map of each class or region, for metrics such as MONAI's ``MeanDice``.

    Voxels with a label below 0 are left out: all maps of prediction and label are zero there, also that of the
    background.

    Args:
        num_classes: number of classes with background, if there are no regions. The highest logit wins.
        regions: class numbers of each region. A voxel is inside a region if the region's logit is positive.
        pred_key: logits ``(C, H, W[, D])``.
        label_key: label map ``(1, H, W[, D])``.

    Raises:
        InputError: When ``regions`` are not lists of class numbers.

    Example:
        >>> logits, label = torch.tensor([[[3.0, 1.0, 0.0]], [[1.0, 2.0, 5.0]]]), torch.tensor([[[0.0, 1.0, -1.0]]])
        >>> ScoredMapsd(num_classes=2)({"pred": logits, "label": label})["pred"].tolist()
        [[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]]]
    """

    def __init__(
        self,
        num_classes: int,
        regions: Sequence[Sequence[int]] | None = None,
        pred_key: Hashable = "pred",
        label_key: Hashable = "label",
    ) -> None:
        check_regions(regions)
        self.num_classes, self.regions = num_classes, regions
        self.pred_key, self.label_key = pred_key, label_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Turn the maps of a sample."""
        pred, label = (convert_to_tensor(data[key], track_meta=False) for key in (self.pred_key, self.label_key))
        known = label >= 0
        if self.regions is None:
            numbers = pred.argmax(dim=0, keepdim=True), label.clamp(min=0)
            pred, label = (one_hot(maps, self.num_classes, dim=0) for maps in numbers)
        else:
            pred, label = (pred > 0).to(torch.float32), region_maps(label, self.regions, dim=0)
        return {**data, self.pred_key: pred * known, self.label_key: label * known}
