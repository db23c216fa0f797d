"""Every pixel."""

from __future__ import annotations

from torch import Tensor

from semicl_monai.samplers.pixel import PixelSampler, as_one_group


class FullSampler(PixelSampler):
    """Every pixel of every view, as one group.

    Use it only with losses in linear memory, such as :class:`semicl_monai.losses.SupConLoss`.

    Example:
        >>> import torch
        >>> embeddings, targets = FullSampler()(torch.rand(2, 3, 8, 8), torch.ones(2, 1, 8, 8))
        >>> embeddings.shape, targets.shape
        (torch.Size([1, 128, 3]), torch.Size([1, 128]))
    """

    def sample(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Take all pixels."""
        return as_one_group(embeddings, labels)
