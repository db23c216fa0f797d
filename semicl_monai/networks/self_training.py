"""A student that learns from its teacher's labels."""

from __future__ import annotations

from typing import Any

import torch
from monai.utils import ensure_tuple
from torch import nn

from semicl_monai.networks.mean_teacher import MeanTeacher


class SelfTraining(MeanTeacher):
    """Let the teacher see a weakly augmented view of unlabelled images, and the student a strongly augmented one.

    Both views have the same geometry. The same transform is then applied to the strong view and to the teacher's
    probabilities. These probabilities are the student's labels (see :class:`semicl_monai.losses.PseudoLabelLoss`). The
    teacher predicts them on the untransformed weak view, where it is most reliable. Voxels from outside the image are
    background: class 0, or outside of all regions.

    Args:
        student: the network to train.
        transform: random transform of batches with ``randomize(images)`` and ``__call__(maps)``, or several in order,
            such as :class:`semicl_monai.transforms.RandWarp` and :class:`semicl_monai.transforms.RandCutMix`.
        sigmoid: as for :class:`MeanTeacher`.

    Attributes:
        teacher: a copy of the student, in evaluation mode and without gradients.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, section 2.2, with the teacher of Tarvainen and Valpola, NeurIPS 2017.
        https://arxiv.org/abs/2001.07685
    """

    def __init__(self, student: nn.Module, transform: Any = None, *, sigmoid: bool = False) -> None:
        super().__init__(student, transform=transform, sigmoid=sigmoid)

    def forward(self, x: torch.Tensor, *views: torch.Tensor) -> Any:  # type: ignore[override]
        """Return the student's logits, and the teacher's probabilities when views of unlabelled images are given.

        Args:
            x: labelled images ``(B, C, H, W[, D])``.
            views: the weak and the strong view of unlabelled images, ``(U, C, H, W[, D])`` each, or no views.

        Returns:
            Logits of ``x``, logits of the transformed strong view, and the transformed probabilities of the teacher for
            the weak view. Without views, only the logits of ``x``.
        """
        if not views:
            return self.student(x)
        weak, strong = views
        taught = self.teach(weak)
        for transform in ensure_tuple(self.transform or ()):
            transform.randomize(strong)
            strong, taught = transform(strong), transform(taught)
        if self.sigmoid:
            return *self.learn(x, strong), taught
        outside = 1 - taught.sum(dim=1, keepdim=True)
        return *self.learn(x, strong), torch.cat([taught[:, :1] + outside, taught[:, 1:]], dim=1)
