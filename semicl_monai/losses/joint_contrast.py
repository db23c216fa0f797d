"""Contrast of labelled pixels and of images at once."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.modules.loss import _Loss


class JointContrastLoss(_Loss):
    r"""The sum of a contrast of labelled pixels and a contrast of images.

    .. math::
        L = L_l + w \cdot L_g

    Args:
        local_loss: :math:`L_l`, of embeddings ``(B, E, H, W[, D])`` and label maps ``(B, 1, H, W[, D])``, such as a
            :class:`semicl_monai.engines.SampledLoss`.
        global_loss: :math:`L_g`, of embeddings ``(2U, E)``, such as a :class:`semicl_monai.losses.NTXentLoss`.
        weight: :math:`w`.

    References:
        Hu et al., Semi-supervised Contrastive Learning for Label-Efficient Medical Image Segmentation, MICCAI 2021,
        sections 2.1 and 2.2 (the paper trains with one loss after the other). https://arxiv.org/abs/2109.07407
    """

    def __init__(
        self, local_loss: Callable[..., Tensor], global_loss: Callable[..., Tensor], weight: float = 1.0
    ) -> None:
        super().__init__()
        self.local_loss, self.global_loss, self.weight = local_loss, global_loss, weight

    def forward(self, input: tuple[Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss.

        Args:
            input: embeddings of the pixels of labelled images, then embeddings of other images. This is the output of a
                :class:`semicl_monai.networks.ContrastiveNetwork` with a global head.
            target: label maps of the labelled images.
        """
        pixels, images = input
        return self.local_loss(pixels, target) + self.weight * self.global_loss(images)
