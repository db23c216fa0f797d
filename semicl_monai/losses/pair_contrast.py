"""What contrastive losses on pairs of images have in common."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.utils import InputError, at_least_float32
from semicl_monai.utils.distributed import all_gather_rows


class PairContrastLoss(_Loss):
    """Contrast the embeddings of a batch of images, for pairs that are no classes.

    Unlike in :class:`SupConLoss`, being a positive need not carry over from one pair to the next: a subclass says which
    pairs are positive and which negative (:meth:`pairs`) and what a positive pair costs (:meth:`contrast`). The
    similarities of all pairs are in memory: it is meant for embeddings of images, not of pixels.

    Args:
        temperature: divides every cosine similarity.
        across_ranks: whether the images of all ranks of ``torch.distributed`` are one batch. Gradients of parameters
            averaged by DistributedDataParallel then equal those of one process.

    Raises:
        InputError: When ``temperature`` is not positive.
    """

    def __init__(self, temperature: float = 0.1, across_ranks: bool = True) -> None:
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        super().__init__()
        self.temperature, self.across_ranks = temperature, across_ranks

    @abstractmethod
    def pairs(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Masks ``(N, N)`` of positive and of negative pairs for ``target`` as below; their diagonals are false."""

    @abstractmethod
    def contrast(self, similarity: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Return the loss for similarities ``(N, N)`` that are divided by the temperature."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Contrast a batch of images.

        Args:
            input: embeddings of shape ``(N, C)``; they need not be of unit length.
            target: integers of shape ``(N, 3)``: which volume an image is a slice of, which slice of it, and of how
                many; or ``(N, 7)``: which volume it is a patch of, its place along each of the three axes, and of how
                many places along each. Volumes have the same number on every rank.

        Returns:
            A scalar; zero with a zero gradient when there is no positive pair.

        Raises:
            ValueError: When ``input`` or ``target`` is not of that shape.
        """
        if input.ndim != 2 or target.shape not in ((len(input), 3), (len(input), 7)):
            got = f"{tuple(input.shape)} and {tuple(target.shape)}"
            raise ValueError(f"input and target must be of shape (N, C) and (N, 3) or (N, 7), got {got}.")
        # a MetaTensor would carry its metadata through every operation below
        input, target = input.as_subclass(Tensor), target.as_subclass(Tensor)
        if self.across_ranks:
            input, target = all_gather_rows(input), all_gather_rows(target)
        with torch.autocast(input.device.type, enabled=False):
            embeddings = F.normalize(at_least_float32(input), dim=1)
            return self.contrast(embeddings @ embeddings.T / self.temperature, *self.pairs(target))


def volume_and_place(target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The volume ``(N, 1)`` of each image, its place along each axis ``(N, A)``, and of how many places ``(N, A)``."""
    axes = target.shape[1] // 2
    return target[:, :1], target[:, 1 : 1 + axes], target[:, 1 + axes :]


def masked_logsumexp(similarity: Tensor, mask: Tensor) -> Tensor:
    """Logsumexp of each row over where ``mask`` is true, shape ``(N, 1)``; ``-inf`` for a row without any."""
    return similarity.masked_fill(~mask, -torch.inf).logsumexp(dim=1, keepdim=True)
