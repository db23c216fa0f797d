"""Learning from a teacher's labels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.modules.loss import _Loss

from semicl_monai.utils import InputError

IGNORED = -1


class PseudoLabelLoss(_Loss):
    r"""A supervised loss, and that of a student under the labels its teacher is confident of.

    With :math:`p_v` the teacher's probabilities of a voxel, the confident voxels
    :math:`M = \{v : \max_c p_{vc} \ge \theta\}`, their labels :math:`t_{vc} = [c = \arg\max_k p_{vk}]`, or with
    ``soft`` :math:`t_{vc} = p_{vc}`, and :math:`q_v` the student's probabilities:

    .. math::
        L = L_\mathrm{supervised} + w \Big( -\frac{1}{|M|} \sum_{v \in M} \sum_c t_{vc} \log q_{vc}
            + 1 - \frac{1}{C - 1} \sum_{c > 0} \frac{2 \sum_{v \in M} q_{vc} t_{vc} + \epsilon}
            {\sum_{v \in M} (q_{vc} + t_{vc}) + \epsilon} \Big), \qquad \epsilon = 10^{-5}

    Without a confident voxel the second term has no gradient. The weight starts at zero and is set during training by
    a :class:`semicl_monai.handlers.ConsistencyRampUp`.

    Args:
        supervised: loss of predictions and label maps.
        threshold: :math:`\theta`, from 0, where every voxel counts, to 1.
        soft: whether the teacher's probabilities are the labels.

    Attributes:
        weight: :math:`w`.

    Raises:
        InputError: When ``threshold`` is not between 0 and 1.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, eq. 4 (here with the soft Dice of the foreground beside the cross-entropy,
        as for labelled images). https://arxiv.org/abs/2001.07685
    """

    def __init__(self, supervised: Callable[..., Tensor], threshold: float = 0.0, soft: bool = False) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise InputError(f"pseudo_threshold must be between 0 and 1, got {threshold}.")
        self.supervised, self.threshold, self.soft, self.weight = supervised, threshold, soft, 0.0

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
        confidence, label = teacher.detach().max(dim=1, keepdim=True)
        wanted = teacher.detach() if self.soft else torch.zeros_like(teacher).scatter(1, label, 1.0)
        learned = _cross_entropy_and_dice(student, wanted, confidence >= self.threshold)
        return self.supervised(labelled, target) + self.weight * learned


def pseudo_labels(probabilities: Tensor, threshold: float) -> Tensor:
    """The most probable class of each voxel, -1 where it is less probable than ``threshold``: ``(B, 1, H, W[, D])``."""
    confidence, label = probabilities.detach().max(dim=1, keepdim=True)
    return label.masked_fill(confidence < threshold, IGNORED)


def _cross_entropy_and_dice(logits: Tensor, wanted: Tensor, known: Tensor, smooth: float = 1e-5) -> Tensor:
    """The loss of logits under probabilities ``wanted`` where ``known`` ``(B, 1, H, W[, D])``."""
    cross_entropy = -(known * wanted * logits.log_softmax(1)).sum() / known.sum().clamp(min=1)
    voxels = [0, *range(2, logits.ndim)]
    given, wanted = ((known * values)[:, 1:] for values in (logits.softmax(1), wanted))
    overlap, size = (given * wanted).sum(voxels), (given + wanted).sum(voxels)
    return cross_entropy + 1 - ((2 * overlap + smooth) / (size + smooth)).mean()
