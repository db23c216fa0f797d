"""Contrast of images, without labels."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from semicl_monai.losses.supcon import SupConLoss
from semicl_monai.utils.distributed import in_several_processes


class NTXentLoss(SupConLoss):
    r"""Normalised temperature-scaled cross entropy: find an image's other view among all views of the batch.

    Let :math:`j(i)` be the other view of the same image as view :math:`i`, among the 2B views of B images:

    .. math::
        \ell_i = -\log \frac{\exp(z_i \cdot z_{j(i)} / \tau)}{\sum_{k \neq i} \exp(z_i \cdot z_k / \tau)}

    This is the formula of :class:`SupConLoss` with one class per image. An image that ``target`` names only once is
    left out of the reduction. It is still a negative of the other images.

    Args:
        temperature: :math:`\tau`, divides every cosine similarity.
        reduction: ``"none"``, ``"mean"`` or ``"sum"`` over the views.
        across_ranks: whether the images of all ranks of ``torch.distributed`` are one batch. Otherwise, the batch is
            that of this process. The same holds when ``torch.distributed`` is not initialised.

    Raises:
        ValueError: When ``temperature`` is not positive or ``reduction`` is not one of the above.

    References:
        Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020, eq. 1.
        https://arxiv.org/abs/2002.05709

    Example:
        >>> view1 = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> NTXentLoss(temperature=0.5)(torch.cat([view1, view1]))
        tensor(0.2395)
    """

    def __init__(self, temperature: float = 0.5, reduction: str = "mean", across_ranks: bool = True) -> None:
        super().__init__(temperature=temperature, reduction=reduction, across_ranks=across_ranks)

    def forward(self, input: Tensor, target: Tensor | None = None) -> Tensor:
        """Contrast the views of a batch of images.

        Args:
            input: embeddings of shape (2B, C): view 1 of every image, then view 2 of every image in the same order.
            target: number of the image of each embedding, shape (2B,). It is needed only for another order. An image
                must have the same number on every rank.

        Returns:
            A scalar, or shape (2B,) for ``reduction="none"``. With ``across_ranks``, these are the views of all ranks.

        Raises:
            ValueError: When ``input`` is not of shape (2B, C).
        """
        if target is None:
            if input.ndim != 2 or len(input) % 2:
                raise ValueError(f"input must be of shape (2B, C), two views of B images, got {tuple(input.shape)}.")
            target = self._image_numbers(len(input) // 2, input.device).repeat(2)
        return super().forward(input, target)

    def _image_numbers(self, num_images: int, device: torch.device) -> Tensor:
        numbers = torch.arange(num_images, device=device)
        if not (self.across_ranks and in_several_processes()):
            return numbers
        return numbers * dist.get_world_size() + dist.get_rank()
