"""A student that learns from its teacher's labels."""

from __future__ import annotations

from typing import Any

import torch

from semicl_monai.networks.mean_teacher import MeanTeacher


class SelfTraining(MeanTeacher):
    """Let the teacher see a weakly augmented view of unlabelled images, and the student a strongly augmented one.

    Both views have the same geometry, so that the teacher's probabilities are labels for the student, see
    :class:`semicl_monai.losses.PseudoLabelLoss`.

    Args:
        student: the network to train.

    Attributes:
        teacher: a copy of the student, in evaluation mode and without gradients.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, section 2.2, with the teacher of Tarvainen and Valpola, NeurIPS 2017.
        https://arxiv.org/abs/2001.07685
    """

    def forward(self, x: torch.Tensor, weak: torch.Tensor | None = None, strong: torch.Tensor | None = None) -> Any:
        """Return logits of ``x`` ``(B, C, H, W[, D])`` and of ``strong``, and the teacher's probabilities of ``weak``.

        Without views the logits of ``x`` alone.
        """
        if weak is None or strong is None:
            return self.student(x)
        return *self.learn(x, strong), self.teach(weak)
