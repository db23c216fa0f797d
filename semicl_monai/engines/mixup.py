"""Mixed images."""

from __future__ import annotations

from typing import Any

import torch
from monai.engines import PrepareBatch
from torch.distributions import Beta

from semicl_monai.utils import InputError


class MixupPrepareBatch(PrepareBatch):
    r"""Mix every image of a batch with a random image of the batch: :math:`\lambda x_a + (1 - \lambda) x_b`.

    One share :math:`\lambda` is drawn per batch, from torch's default generator. A batch of one image stays unchanged.

    Args:
        alpha: parameter of the distribution Beta(alpha, alpha) of the share. The value 1 gives a uniform distribution.

    Returns:
        Mixed images ``(B, C, H, W[, D])``, and the targets of :class:`semicl_monai.losses.MixupLoss`. The targets are
        both label maps ``(B, 1, H, W[, D])`` and the share, a scalar.

    Raises:
        InputError: When ``alpha`` is not positive.

    References:
        Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, eq. 1. https://arxiv.org/abs/1710.09412
    """

    def __init__(self, alpha: float = 1.0) -> None:
        if not alpha > 0:
            raise InputError(f"alpha must be positive, got {alpha}.")
        self.alpha = float(alpha)

    def __call__(
        self,
        batchdata: dict[str, torch.Tensor],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Mix the images of ``batchdata`` on ``device``."""
        images, labels = (
            batchdata[key].to(device=device, non_blocking=non_blocking, **kwargs) for key in ("image", "label")
        )
        share = Beta(self.alpha, self.alpha).sample().to(images)
        partner = torch.randperm(len(images)).to(images.device)
        return share * images + (1 - share) * images[partner], (labels, labels[partner], share)
