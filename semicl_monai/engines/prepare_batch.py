"""Preparation of the batches of a two-view training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.engines import PrepareBatch

from semicl_monai.losses import Places


class TwoViewPrepareBatch(PrepareBatch):
    """Stack the two views of a batch: first all first views, then all second views.

    Args:
        target: function that returns the targets of the images of a batch, as a tensor or
            :class:`semicl_monai.losses.Places`. Example: :func:`semicl_monai.engines.place_in_volume`. By default, the
            targets are the label maps.

    Returns:
        Images ``(2B, C, H, W[, D])`` and the targets of both views ``(2B, ...)``. By default, the targets are label
        maps ``(2B, 1, H, W[, D])``, or ``None`` for batches without labels. A batch of a
        :class:`semicl_monai.data.PairedDataLoader` also has other images ``(2U, C, H, W[, D])``. They are returned as
        the network's second argument.
    """

    def __init__(self, target: Callable[[dict[str, Any]], torch.Tensor | Places] | None = None) -> None:
        self.target = target

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Stack the views of ``batchdata`` on ``device``."""

        def stack(kind: str, of: str = "") -> torch.Tensor:
            views = torch.cat([batchdata[f"{of}view1_{kind}"], batchdata[f"{of}view2_{kind}"]])
            return views.to(device=device, non_blocking=non_blocking, **kwargs)

        def of_both(target: torch.Tensor) -> torch.Tensor:
            return torch.cat([target, target]).to(device=device, non_blocking=non_blocking)

        if self.target is not None:
            target = self.target(batchdata)
            return stack("image"), target.map(of_both) if isinstance(target, Places) else of_both(target)
        images, labels = stack("image"), stack("label") if "view1_label" in batchdata else None
        if "unlabelled_view1_image" not in batchdata:
            return images, labels
        return images, labels, (stack("image", of="unlabelled_"),), {}
