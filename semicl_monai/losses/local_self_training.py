"""Learning from a teacher's labels, with a contrast of pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from semicl_monai.losses.pseudo_label import PseudoLabelLoss, pseudo_labels
from semicl_monai.utils import InputError


class LocalSelfTrainingLoss(PseudoLabelLoss):
    r"""A :class:`PseudoLabelLoss` with the contrast of labelled and confidently pseudo-labelled pixels.

    .. math::
        L = L_\mathrm{supervised} + w \left(L_\mathrm{pseudo} + w_l L_l\right)

    :math:`L_\mathrm{pseudo}` is the second term of :class:`PseudoLabelLoss`, and :math:`L_l` that of
    :class:`LocalPseudoLoss`.

    Args:
        supervised: loss of predictions and label maps.
        contrast: loss of embeddings and label maps, as for :class:`LocalPseudoLoss`.
        contrast_weight: :math:`w_l`.
        contrast_threshold: lowest confidence of the teacher at which a pixel is contrasted, between 0 and 1.
        regions_class_order: as for :class:`LocalPseudoLoss`.
        options: further options of :class:`PseudoLabelLoss`.

    Raises:
        InputError: When a threshold is not between 0 and 1.

    References:
        Hu et al., MICCAI 2021, eq. 2 (the contrast of labelled pixels). https://arxiv.org/abs/2109.07407
        Chaitanya et al., Medical Image Analysis 2023, section 3 (that of pseudo-labelled ones beside self-training).
        https://arxiv.org/abs/2112.09645
    """

    def __init__(
        self,
        supervised: Callable[..., Tensor],
        contrast: Callable[..., Tensor],
        contrast_weight: float = 0.1,
        contrast_threshold: float = 0.9,
        regions_class_order: Sequence[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(supervised, **options)
        if not 0 <= contrast_threshold <= 1:
            raise InputError(f"contrast_threshold must be between 0 and 1, got {contrast_threshold}.")
        self.contrast, self.contrast_weight, self.order = contrast, contrast_weight, regions_class_order
        self.contrast_threshold = contrast_threshold

    def forward(self, input: Tensor | tuple[Tensor, ...], target: Tensor) -> Tensor:
        """Return the loss, or only the supervised loss when there are no unlabelled images.

        Args:
            input: logits of labelled images, the student's logits and the teacher's probabilities for unlabelled
                images, and the embeddings of all images. This is the output of
                :class:`semicl_monai.networks.LocalPseudo`. It may be the first logits only.
            target: label maps ``(B, 1, H, W[, D])``.
        """
        if isinstance(input, Tensor):
            return self.supervised(input, target)
        labelled, student, teacher, embeddings = input
        labels = torch.cat([target.long(), pseudo_labels(teacher, self.contrast_threshold, self.order)])
        contrast = self.weight * self.contrast_weight * self.contrast(embeddings, labels)
        return super().forward((labelled, student, teacher), target) + contrast
