"""Learning from a teacher's labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.modules.loss import _Loss

from semicl_monai.utils import IGNORED, InputError, decode_regions

LEVEL = 0.5  # weight of each level of deep supervision, as a share of the weight of the level above
SMOOTH = 1e-5
INSIDE = 0.5  # probability above which a voxel is inside a region


class PseudoLabelLoss(_Loss):
    r"""A supervised loss plus the student's loss for the teacher's confident labels.

    Let :math:`p_v` be the teacher's and :math:`q_v` the student's probabilities of a voxel. A voxel has the
    weight :math:`a_v = \sum_c p_{vc}`. It is 1, or less where the teacher disagrees with an annotation (see
    :class:`semicl_monai.networks.SelfTraining`). The confident voxels are
    :math:`M = \{v : \max_c p_{vc} / a_v \ge \theta\}`. The labels are
    :math:`t_{vc} = [c = \arg\max_k p_{vk}]`, or :math:`t_{vc} = p_{vc} / a_v` with ``soft``. The loss is:

    .. math::
        L = L_\mathrm{supervised} + w \Big( -\frac{1}{\sum_{v \in M} a_v} \sum_{v \in M} a_v \sum_c t_{vc} \log q_{vc}
            + 1 - \frac{1}{C - 1} \sum_{c > 0} \frac{2 \sum_{v \in M} a_v q_{vc} t_{vc} + \epsilon}
            {\sum_{v \in M} a_v (q_{vc} + t_{vc}) + \epsilon} \Big), \qquad \epsilon = 10^{-5}

    For regions, :math:`p` and :math:`q` are sigmoids, and a voxel may be confident in some regions only. The
    cross-entropy is binary, its mean is over the voxels and regions with :math:`\max(p, 1 - p) \ge \theta`, and the
    Dice term is the mean over all regions, each over its own confident voxels.

    For a network with deep supervision, the second term is the sum over its levels, with the weights 1, 1/2, 1/4, ...
    of the supervised loss.

    Without a confident voxel the second term has no gradient. The weight starts at zero and is set during training by
    a :class:`semicl_monai.handlers.ConsistencyRampUp`.

    Args:
        supervised: loss of predictions and label maps.
        threshold: :math:`\theta`, between 0 and 1. At 0, every voxel counts.
        soft: whether to use the teacher's probabilities as labels.
        sigmoid: whether logits and probabilities are those of regions.

    Attributes:
        weight: :math:`w`.

    Raises:
        InputError: When ``threshold`` is not between 0 and 1.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, eq. 4 (here with the soft Dice of the foreground beside the cross-entropy,
        as for labelled images). https://arxiv.org/abs/2001.07685
    """

    def __init__(
        self, supervised: Callable[..., Tensor], threshold: float = 0.0, soft: bool = False, *, sigmoid: bool = False
    ) -> None:
        super().__init__()
        if not 0 <= threshold <= 1:
            raise InputError(f"pseudo_threshold must be between 0 and 1, got {threshold}.")
        self.supervised, self.threshold, self.soft, self.weight = supervised, threshold, soft, 0.0
        self.sigmoid = sigmoid

    def forward(self, input: Tensor | tuple[Tensor, Tensor, Tensor], target: Tensor) -> Tensor:
        """Return the loss, or only the supervised loss when there are no unlabelled images.

        Args:
            input: logits of labelled images ``(B, C, H, W[, D])``, then the student's logits and the teacher's
                probabilities for unlabelled images. Logits may be those of levels ``(B, L, C, H, W[, D])``. This is the
                output of :class:`semicl_monai.networks.SelfTraining`. It may be the first logits only.
            target: label maps ``(B, 1, H, W[, D])``.
        """
        if isinstance(input, Tensor):
            return self.supervised(input, target)
        labelled, student, teacher = input
        levels = student.unbind(1) if student.ndim > teacher.ndim else [student]
        learned = sum(LEVEL**number * self._learned(level, teacher.detach()) for number, level in enumerate(levels))
        return self.supervised(labelled, target) + self.weight * learned

    def _learned(self, student: Tensor, teacher: Tensor) -> Tensor:
        if self.sigmoid:
            wanted = teacher if self.soft else (teacher > INSIDE).to(teacher.dtype)
            return _binary_cross_entropy_and_dice(student, wanted, region_confidence(teacher) >= self.threshold)
        weight = teacher.sum(dim=1, keepdim=True)
        soft = teacher / weight.clamp(min=SMOOTH)
        confidence, label = soft.max(dim=1, keepdim=True)
        wanted = soft if self.soft else torch.zeros_like(teacher).scatter(1, label, 1.0)
        return _cross_entropy_and_dice(student, wanted, weight * (confidence >= self.threshold))


def region_confidence(probabilities: Tensor) -> Tensor:
    """Return the probability of the likelier of inside and outside, for each voxel and region."""
    return torch.maximum(probabilities, 1 - probabilities)


def pseudo_labels(probabilities: Tensor, threshold: float, order: Sequence[int] | None = None) -> Tensor:
    """Return the most probable class of each voxel, or -1 below ``threshold``, as ``(B, 1, H, W[, D])``.

    Args:
        probabilities: those of classes, which may sum up to a weight, or of regions.
        threshold: lowest confidence; for regions that of the least certain region.
        order: the class number from each region, if probabilities are those of regions, see
            :func:`semicl_monai.utils.decode_regions`.
    """
    if order is not None:
        known = region_confidence(probabilities.detach()).amin(dim=1, keepdim=True) >= threshold
        return decode_regions(probabilities.detach() > INSIDE, order).masked_fill(~known, IGNORED)
    weight = probabilities.detach().sum(dim=1, keepdim=True).clamp(min=SMOOTH)
    confidence, label = (probabilities.detach() / weight).max(dim=1, keepdim=True)
    return label.masked_fill(confidence < threshold, IGNORED)


def _cross_entropy_and_dice(logits: Tensor, wanted: Tensor, weight: Tensor, smooth: float = SMOOTH) -> Tensor:
    """Return the loss of logits for target probabilities ``wanted``, with weights of voxels ``(B, 1, H, W[, D])``."""
    cross_entropy = -(weight * wanted * logits.log_softmax(1)).sum() / weight.sum().clamp(min=1)
    voxels = [0, *range(2, logits.ndim)]
    given, wanted = logits.softmax(1)[:, 1:], wanted[:, 1:]
    overlap, size = (weight * given * wanted).sum(voxels), (weight * (given + wanted)).sum(voxels)
    return cross_entropy + 1 - ((2 * overlap + smooth) / (size + smooth)).mean()


def _binary_cross_entropy_and_dice(logits: Tensor, wanted: Tensor, known: Tensor, smooth: float = SMOOTH) -> Tensor:
    """Return the loss of logits of regions for target probabilities ``wanted``, in masks ``known`` of regions."""
    of_voxels = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    cross_entropy = (known * of_voxels).sum() / known.sum().clamp(min=1)
    voxels = [0, *range(2, logits.ndim)]
    given, wanted = (known * values for values in (logits.sigmoid(), wanted))
    overlap, size = (given * wanted).sum(voxels), (given + wanted).sum(voxels)
    return cross_entropy + 1 - ((2 * overlap + smooth) / (size + smooth)).mean()
