"""Contrast of pixels by labels and by a teacher's pseudo-labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.losses.pseudo_label import pseudo_labels
from semicl_monai.utils import InputError


class LocalPseudoLoss(_Loss):
    r"""A supervised loss of labelled images, and the contrast of labelled and confidently pseudo-labelled pixels.

    .. math::
        L = L_\mathrm{supervised} + w \cdot L_l

    :math:`L_l` is the contrast of the pixels of all images. Pixels :math:`v` of labelled images have their labels. For
    other images, let :math:`p_v` be the teacher's probabilities. A pixel of them has the pseudo-label
    :math:`\arg\max_c p_{vc}` if :math:`\max_c p_{vc} \ge \theta`. All other pixels are ignored. The weight starts at
    zero and is set during training by a :class:`semicl_monai.handlers.ConsistencyRampUp`.

    Args:
        supervised: loss of predictions and label maps.
        contrast: loss of embeddings ``(B, E, H, W[, D])`` and label maps ``(B, 1, H, W[, D])`` that ignores label -1,
            such as a :class:`semicl_monai.engines.SampledLoss`.
        threshold: :math:`\theta`, between 0 and 1. At 0, every pixel counts.
        regions_class_order: the class number from each region, if the teacher's probabilities are those of regions. The
            pseudo-label is then that of a mask, and the confidence is that of the least certain region.

    Attributes:
        weight: :math:`w`.

    Raises:
        InputError: When ``threshold`` is not between 0 and 1.

    References:
        Chaitanya et al., Local contrastive loss with pseudo-label based self-training for semi-supervised medical image
        segmentation, Medical Image Analysis 2023, section 3. https://arxiv.org/abs/2112.09645
    """

    def __init__(
        self,
        supervised: Callable[..., Tensor],
        contrast: Callable[..., Tensor],
        threshold: float = 0.9,
        regions_class_order: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise InputError(f"pseudo_threshold must be between 0 and 1, got {threshold}.")
        self.supervised, self.contrast, self.threshold, self.weight = supervised, contrast, threshold, 0.0
        self.order = regions_class_order

    def forward(self, input: Tensor | tuple[Tensor, Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss, or only the supervised loss when there are no unlabelled images.

        Args:
            input: logits of labelled images ``(B, C, H, W[, D])``, the student's logits and the teacher's probabilities
                for unlabelled images, and the embeddings of all images. This is the output of
                :class:`semicl_monai.networks.LocalPseudo`. It may be the first logits only.
            target: label maps ``(B, 1, H, W[, D])``.
        """
        if isinstance(input, Tensor):
            return self.supervised(input, target)
        labelled, _, teacher, embeddings = input
        labels = torch.cat([target.long(), pseudo_labels(teacher, self.threshold, self.order)])
        return self.supervised(labelled, target) + self.weight * self.contrast(embeddings, labels)
