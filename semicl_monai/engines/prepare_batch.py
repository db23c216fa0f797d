"""What a contrastive training step takes from a batch."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch


class TwoViewPrepareBatch(PrepareBatch):
    """Stack the two views of a batch: first all first views, then all second ones.

    Returns:
        Images ``(2B, C, H, W[, D])`` and label maps ``(2B, 1, H, W[, D])``, or ``None`` for batches without labels.
    """

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Stack the views of ``batchdata`` on ``device``."""

        def stack(kind: str) -> torch.Tensor:
            views = torch.cat([batchdata[f"view1_{kind}"], batchdata[f"view2_{kind}"]])
            return views.to(device=device, non_blocking=non_blocking, **kwargs)

        return stack("image"), stack("label") if "view1_label" in batchdata else None
