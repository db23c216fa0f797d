"""Consistency of a student with its teacher."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss


class ConsistencyLoss(_Loss):
    r"""A supervised loss plus the mean squared distance between the probabilities of student and teacher.

    .. math::
        L = L_\mathrm{supervised} + w \cdot \frac{1}{BCN} \sum (p_\mathrm{student} - p_\mathrm{teacher})^2

    The weight starts at zero and is set during training by a :class:`semicl_monai.handlers.ConsistencyRampUp`.

    Args:
        supervised: loss of predictions and label maps.

    Attributes:
        weight: :math:`w`.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017, section 2.
        https://arxiv.org/abs/1703.01780
        Li et al., Transformation-Consistent Self-Ensembling Model for Semi-supervised Medical Image Segmentation,
        IEEE TNNLS 2020, eq. 4. https://arxiv.org/abs/1903.00348
    """

    def __init__(self, supervised: Callable[..., Tensor]) -> None:
        super().__init__()
        self.supervised, self.weight = supervised, 0.0

    def forward(self, input: Tensor | tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss, or only the supervised loss when there are no unlabelled images.

        Args:
            input: logits of labelled images ``(B, C, H, W[, D])``, then the student's and the teacher's probabilities
                for unlabelled images. This is the output of :class:`semicl_monai.networks.MeanTeacher`. It may be the
                logits only.
            target: label maps ``(B, 1, H, W[, D])``.
        """
        if isinstance(input, Tensor):
            return self.supervised(input, target)
        labelled, student, teacher = input
        return self.supervised(labelled, target) + self.weight * F.mse_loss(student, teacher.detach())
