"""Learning from a teacher's labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.utils import InputError

IGNORED = -1


class PseudoLabelLoss(_Loss):
    r"""A supervised loss, and that of a student under the labels its teacher is confident of.

    With :math:`p_v` the teacher's probabilities of a voxel, :math:`\hat y_v = \arg\max_c p_{vc}`, the confident voxels
    :math:`M = \{v : \max_c p_{vc} \ge \theta\}`, and :math:`q_v` the student's probabilities:

    .. math::
        L = L_\mathrm{supervised} + w \Big( -\frac{1}{|M|} \sum_{v \in M} \log q_{v \hat y_v} + 1 - \frac{1}{C - 1}
            \sum_{c > 0} \frac{2 \sum_{v \in M} q_{vc} [\hat y_v = c] + \epsilon}
            {\sum_{v \in M} q_{vc} + [\hat y_v = c] + \epsilon} \Big), \qquad \epsilon = 10^{-5}

    Without a confident voxel the second term has no gradient. The weight starts at zero and is set during training by
    a :class:`semicl_monai.handlers.ConsistencyRampUp`.

    Args:
        supervised: loss of predictions and label maps.
        threshold: :math:`\theta`, from 0, where every voxel counts, to 1.

    Attributes:
        weight: :math:`w`.

    Raises:
        InputError: When ``threshold`` is not between 0 and 1.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, eq. 4 (here with the soft Dice of the foreground beside the cross-entropy,
        as for labelled images). https://arxiv.org/abs/2001.07685
    """

    def __init__(self, supervised: Callable, threshold: float = 0.0) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise InputError(f"pseudo_threshold must be between 0 and 1, got {threshold}.")
        self.supervised, self.threshold, self.weight = supervised, threshold, 0.0

    def forward(self, input: Tensor | tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss; for logits of labelled images alone, the supervised one.

        Args:
            input: logits of labelled images ``(B, C, H, W[, D])``, the student's logits and the teacher's probabilities
                of unlabelled ones, as :class:`semicl_monai.networks.SelfTraining` gives them.
            target: label maps ``(B, 1, H, W[, D])``.
        """
        if isinstance(input, Tensor):
            return self.supervised(input, target)
        labelled, student, teacher = input
        labels = pseudo_labels(teacher, self.threshold)
        return self.supervised(labelled, target) + self.weight * _cross_entropy_and_dice(student, labels)


def pseudo_labels(probabilities: Tensor, threshold: float) -> Tensor:
    """The most probable class of each voxel, -1 where it is less probable than ``threshold``: ``(B, 1, H, W[, D])``."""
    confidence, label = probabilities.detach().max(dim=1, keepdim=True)
    return label.masked_fill(confidence < threshold, IGNORED)


def _cross_entropy_and_dice(logits: Tensor, labels: Tensor, smooth: float = 1e-5) -> Tensor:
    known = labels != IGNORED
    total = F.cross_entropy(logits, labels.squeeze(1), ignore_index=IGNORED, reduction="sum")
    wanted = torch.cat([labels == number for number in range(1, logits.shape[1])], dim=1).to(logits.dtype)
    given = logits.softmax(1)[:, 1:] * known
    voxels = [0, *range(2, logits.ndim)]
    overlap, size = (given * wanted).sum(voxels), given.sum(voxels) + wanted.sum(voxels)
    return total / known.sum().clamp(min=1) + 1 - ((2 * overlap + smooth) / (size + smooth)).mean()
