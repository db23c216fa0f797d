"""Contrast of an image and its transformed copy with a memory bank."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.losses.memory_bank import MemoryBank
from semicl_monai.utils import InputError, at_least_float32
from semicl_monai.utils.distributed import all_gather_rows


class PIRLLoss(_Loss):
    r"""Pretext-invariant representation learning: image and transformed image both resemble the image's memory.

    Let :math:`m_i` be the memory of image :math:`i`, :math:`f_i` the embedding of the image, and :math:`g_i` the
    embedding of its transformed copy. Let :math:`s` be the cosine similarity. Negatives :math:`n` are drawn from the
    memories of other images:

    .. math::
        h(a, b) = \frac{e^{s(a, b) / \tau}}{e^{s(a, b) / \tau} + \sum_n e^{s(n, b) / \tau}}, \qquad
        L_\mathrm{NCE}(a, b) = -\log h(a, b) - \sum_n \log(1 - h(n, b))

        L = \frac{1}{B} \sum_i \lambda L_\mathrm{NCE}(m_i, g_i) + (1 - \lambda) L_\mathrm{NCE}(m_i, f_i)

    Afterwards :math:`m_i` moves towards :math:`f_i`. An image seen for the first time has its own :math:`f_i` as
    memory. The bank belongs to the state dict of the loss and is the same on all ranks of ``torch.distributed``.
    Without another image in the bank, the loss is zero with a zero gradient.

    Args:
        temperature: :math:`\tau`, divides every cosine similarity.
        weight: :math:`\lambda`, share of the transformed copy's term, 0 to 1.
        num_negatives: number of negatives per batch. If the bank holds fewer, all of them are used.
        momentum: share of the old memory in the new memory.
        generator: random generator for choosing negatives. With ``None``, it is torch's default generator.

    Raises:
        InputError: When an argument is out of its range.

    References:
        Misra and van der Maaten, Self-Supervised Learning of Pretext-Invariant Representations, CVPR 2020, eq. 4, 5
        and 7. https://arxiv.org/abs/1912.01991
    """

    def __init__(
        self,
        temperature: float = 0.07,
        weight: float = 0.5,
        num_negatives: int = 1024,
        momentum: float = 0.5,
        generator: torch.Generator | None = None,
    ) -> None:
        if not temperature > 0:
            raise InputError(f"temperature must be positive, got {temperature}.")
        if not 0 <= weight <= 1:
            raise InputError(f"weight must be between 0 and 1, got {weight}.")
        if num_negatives < 1:
            raise InputError(f"num_negatives must be positive, got {num_negatives}.")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must be from 0 to below 1, got {momentum}.")
        super().__init__()
        self.temperature, self.weight, self.num_negatives = temperature, weight, num_negatives
        self.bank = MemoryBank(momentum, generator)

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        """Contrast a batch of images with the bank, and move the bank.

        Args:
            input: embeddings of the images and of their transformed copies, ``(B, C)`` each.
            target: number of each image, integers of shape ``(B,)``. An image must have the same number on every rank.

        Returns:
            A scalar.
        """
        with torch.autocast(target.device.type, enabled=False):
            f, g = (F.normalize(at_least_float32(embeddings.as_subclass(Tensor)), dim=1) for embeddings in input)
            images, of_images = all_gather_rows(target), all_gather_rows(f.detach())
            self.bank.add_unseen(images, of_images)
            memory, negatives = self.bank.recall(target), self.bank.negatives(images, self.num_negatives)
            loss = self.weight * self._nce(memory, g, negatives) + (1 - self.weight) * self._nce(memory, f, negatives)
            self.bank.update(images, of_images)
        return loss

    def _nce(self, memory: Tensor, embeddings: Tensor, negatives: Tensor) -> Tensor:
        own = (memory * embeddings).sum(dim=1) / self.temperature
        others = embeddings @ negatives.T / self.temperature
        total = others.logsumexp(dim=1) if len(negatives) else torch.full_like(own, -torch.inf)
        of_others = torch.logaddexp(others, total[:, None]) - total[:, None]
        return (torch.logaddexp(own, total) - own + of_others.sum(dim=1)).mean()
