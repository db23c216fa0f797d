"""Base class of all samplers of pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class PixelSampler(ABC):
    """Turn dense maps into groups of embeddings. A loss contrasts them group by group.

    A new sampler implements :meth:`sample`, which chooses the pixels of each group.
    """

    def __call__(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Sample groups of pixels.

        Args:
            embeddings: one embedding per pixel, shape (B, C, H, W) or (B, C, H, W, D). B counts all views of the batch.
            labels: classes of the pixels, shape (B, 1, H, W) or (B, 1, H, W, D), as integers in any type.

        Returns:
            Embeddings of shape (G, N, C) and int64 targets of shape (G, N), for G groups of N pixels.

        Raises:
            ValueError: When the shapes are not as above.
        """
        _check(embeddings, labels)
        # plain tensors: metadata does not apply to pixels out of their order
        return self.sample(embeddings.as_subclass(torch.Tensor), labels.as_subclass(torch.Tensor).long())

    @abstractmethod
    def sample(self, embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Sample groups from maps with checked shapes and int64 labels."""


def as_one_group(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return all pixels of all views as one group: embeddings of shape (1, N, C) and targets of shape (1, N)."""
    return embeddings.movedim(1, -1).reshape(1, -1, embeddings.shape[1]), labels.reshape(1, -1)


def _check(embeddings: Tensor, labels: Tensor) -> None:
    if embeddings.ndim not in (4, 5):
        raise ValueError(f"embeddings must be of shape (B, C, H, W) or (B, C, H, W, D), got {tuple(embeddings.shape)}.")
    wanted = (len(embeddings), 1, *embeddings.shape[2:])
    if tuple(labels.shape) != wanted:
        raise ValueError(f"labels must be of shape {wanted}, like the embeddings, got {tuple(labels.shape)}.")
