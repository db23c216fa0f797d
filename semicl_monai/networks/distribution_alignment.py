"""Probabilities of a teacher in which classes are as frequent as in labels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

EPSILON = 1e-6


class DistributionAlignment(nn.Module):
    r"""Change probabilities so that each class has the share of the foreground that it has in labels.

    Let :math:`n_c` be the moving average of the number of voxels of class :math:`c` in label maps, and :math:`m_c` that
    of the sum of its probabilities. Aligned probabilities of a voxel are:

    .. math::
        \tilde p_0 \propto p_0, \qquad
        \tilde p_c \propto p_c \, \frac{n_c / \sum_{k > 0} n_k}{m_c / \sum_{k > 0} m_k}, \qquad c > 0

    The background is not aligned: labelled images are drawn around the foreground more often than others. Nothing is
    changed before each class has occurred in labels, so that no class is lost.

    Args:
        num_classes: number of classes, the background included.
        decay: decay of both moving averages.

    Attributes:
        of_labels: :math:`n_c` of the foreground, shape ``(C - 1,)``.
        of_teacher: :math:`m_c`, likewise.

    References:
        Berthelot et al., ReMixMatch, ICLR 2020, section 3.1 (there for images and all classes).
        https://arxiv.org/abs/1911.09785

    Example:
        >>> align = DistributionAlignment(num_classes=3)
        >>> labels = torch.tensor([[[[1, 2, 2, 2]]]])
        >>> align(torch.tensor([0.0, 0.5, 0.5]).reshape(1, 3, 1, 1), labels).flatten().tolist()
        [0.0, 0.25, 0.75]
    """

    of_labels: Tensor
    of_teacher: Tensor

    def __init__(self, num_classes: int, decay: float = 0.99) -> None:
        super().__init__()
        self.decay = decay
        self.register_buffer("of_labels", torch.zeros(num_classes - 1))
        self.register_buffer("of_teacher", torch.zeros(num_classes - 1))

    @torch.no_grad()
    def forward(self, probabilities: Tensor, labels: Tensor) -> Tensor:
        """Return aligned probabilities, and count both in the moving averages.

        Args:
            probabilities: those of classes for unlabelled images, ``(B, C, H, W[, D])``.
            labels: label maps of labelled images, ``(L, 1, H, W[, D])``. Voxels with a negative number do not count.
        """
        known = labels.as_subclass(Tensor).long().clamp(min=0).flatten()
        self._count(self.of_labels, known.bincount(minlength=len(self.of_labels) + 1)[1:])
        self._count(self.of_teacher, probabilities[:, 1:].transpose(0, 1).flatten(1).sum(1))
        if not (self.of_labels.all() and self.of_teacher.any()):
            return probabilities
        wanted, given = (counts / counts.sum() for counts in (self.of_labels, self.of_teacher))
        factors = torch.cat([torch.ones_like(wanted[:1]), wanted / given.clamp(min=EPSILON)])
        aligned = probabilities * factors.reshape(1, -1, *[1] * (probabilities.ndim - 2))
        return aligned / aligned.sum(1, keepdim=True).clamp(min=EPSILON)

    def _count(self, average: Tensor, found: Tensor) -> None:
        average.mul_(self.decay).add_(found, alpha=1 - self.decay)
