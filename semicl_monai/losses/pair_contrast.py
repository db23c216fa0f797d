"""The common base of contrastive losses on pairs of images."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.losses.places import Places
from semicl_monai.utils import InputError, at_least_float32
from semicl_monai.utils.distributed import all_gather_rows


class PairContrastLoss(_Loss):
    """Contrast the embeddings of a batch of images whose positive pairs do not come from classes.

    Unlike in :class:`SupConLoss`, positive pairs need not be transitive. If (a, b) and (b, c) are positive, (a, c) may
    not be. A subclass defines the positive and negative pairs (:meth:`pairs`) and the loss of the positive pairs
    (:meth:`contrast`). The similarities of all pairs are in memory. The loss is therefore meant for embeddings of
    images, not of pixels.

    Args:
        temperature: divides every cosine similarity.
        across_ranks: whether the images of all ranks of ``torch.distributed`` are one batch. The gradients of
            the parameters then equal those of one process, once DistributedDataParallel has averaged them.

    Raises:
        InputError: When ``temperature`` is not positive.
    """

    def __init__(self, temperature: float = 0.1, across_ranks: bool = True) -> None:
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        super().__init__()
        self.temperature, self.across_ranks = temperature, across_ranks

    @abstractmethod
    def pairs(self, target: Places) -> tuple[Tensor, Tensor]:
        """Return masks ``(N, N)`` of positive and of negative pairs of the places ``target``, with false diagonals."""

    @abstractmethod
    def contrast(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the loss for similarities ``(N, N)`` that are divided by the temperature."""

    def forward(self, input: Tensor, target: Places) -> Tensor:
        """Contrast a batch of images.

        Args:
            input: embeddings of shape ``(N, C)``. They need not be of unit length.
            target: volume and place of each image (see :class:`Places`).

        Returns:
            A scalar. Without a positive pair, the loss is zero with a zero gradient.

        Raises:
            ValueError: When ``input`` or a part of ``target`` has the wrong shape.
        """
        _check_shapes(input, target)
        # a MetaTensor would carry its metadata through every operation below
        input, target = input.as_subclass(Tensor), target.map(lambda part: part.as_subclass(Tensor))
        if self.across_ranks:
            input, target = all_gather_rows(input), target.map(all_gather_rows)
        with torch.autocast(input.device.type, enabled=False):
            embeddings = F.normalize(at_least_float32(input), dim=1)
            return self.contrast(embeddings @ embeddings.T / self.temperature, *self.pairs(target))


def _check_shapes(input: Tensor, target: Places) -> None:
    got = [tuple(part.shape) for part in (input, *target)]
    count, axes = len(input), target.place.shape[-1]
    if input.ndim != 2 or got[1:] != [(count,), (count, axes), (count, axes)]:
        raise ValueError(f"input and places must be of shape (N, C) and (N,), (N, A), (N, A), got {got}.")


def masked_logsumexp(similarity: Tensor, mask: Tensor) -> Tensor:
    """Return the logsumexp of each row where ``mask`` is true, as ``(N, 1)``, or ``-inf`` for a row without any."""
    return similarity.masked_fill(~mask, -torch.inf).logsumexp(dim=1, keepdim=True)
