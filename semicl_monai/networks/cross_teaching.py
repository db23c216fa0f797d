"""Two students that learn from both their teachers."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn

from semicl_monai.networks.mean_teacher import MeanTeacher
from semicl_monai.networks.self_training import SelfTraining


class CrossTeaching(SelfTraining):
    r"""Two students with different random starts, each with a teacher. Both learn the labels of both teachers.

    The labels of an unlabelled image are the mean of both teachers' probabilities. Errors that only one of two networks
    makes weigh half in it. Each student learns from every second image of a batch, labelled or not, and from the others
    in the next step. So a step costs little more than with one student: the prediction of the second teacher.

    Args:
        student: the first student. The second one is a copy with new random weights, also if the first is pre-trained.
        transform: as for :class:`SelfTraining`.
        snapshots: largest number of snapshots of each teacher.
        options: further options of :class:`SelfTraining`.

    Attributes:
        other: the second student and its teacher.
        turn: which images the first student sees next: those with an even number if it is 0, the others if it is 1.

    References:
        Chen et al., Semi-Supervised Semantic Segmentation with Cross Pseudo Supervision, CVPR 2021, section 3 (two
        networks with different starts; here with their moving averages, as teachers of both).
        https://arxiv.org/abs/2106.01226
    """

    turn: torch.Tensor

    def __init__(self, student: nn.Module, transform: Any = None, *, snapshots: int = 0, **options: Any) -> None:
        super().__init__(student, transform, snapshots=snapshots, **options)
        self.other = MeanTeacher(_restarted(student), sigmoid=self.sigmoid, snapshots=snapshots)
        self.register_buffer("turn", torch.zeros((), dtype=torch.long))

    def study(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits of ``images``, each by the student whose turn it is."""
        first, second = (torch.arange(begin, len(images), 2) for begin in (int(self.turn), 1 - int(self.turn)))
        self.turn = 1 - self.turn
        parts = ((self.student, first), (self.other.student, second))
        given = [student(images[numbers]) for student, numbers in parts if len(numbers)]
        return torch.cat(given)[torch.cat([first, second]).argsort()]

    def teach(self, unlabelled: torch.Tensor) -> torch.Tensor:
        """Return the mean of both teachers' probabilities."""
        return (super().teach(unlabelled) + self.other.teach(unlabelled)) / 2


def _restarted(network: nn.Module) -> nn.Module:
    """Return a copy with new random weights."""
    other = deepcopy(network)
    for module in other.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
    return other
