"""A student network and its moving average, the teacher."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from semicl_monai.networks.snapshots import Snapshots
from semicl_monai.utils import at_least_float32


class MeanTeacher(nn.Module):
    r"""Apply a student and its teacher to unlabelled images, and the student to labelled images.

    The student sees :math:`x`. The teacher sees :math:`x` with noise. With a ``transform`` :math:`\pi`, the teacher
    sees :math:`\pi(x)`, and :math:`\pi` is applied to the student's probabilities. The loss then asks for consistency
    under :math:`\pi`. Only the student receives a gradient. A :class:`semicl_monai.handlers.TeacherEMA` updates the
    teacher.

    Args:
        student: the network to train.
        noise_std: standard deviation of the Gaussian noise that is added to the teacher's input.
        transform: random transform of batches with ``randomize(images)`` and ``__call__(maps)``, such as
            :class:`semicl_monai.transforms.RandSymmetry`.
        sigmoid: whether probabilities are those of regions, by a sigmoid, or of classes, by a softmax.
        snapshots: largest number of snapshots of the teacher that teach beside it.

    Attributes:
        teacher: a copy of the student, in evaluation mode and without gradients.
        snapshots: earlier states of the teacher, which a :class:`semicl_monai.handlers.SnapshotKeeper` keeps.

    References:
        Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017, section 2.
        https://arxiv.org/abs/1703.01780
        Li et al., Transformation-Consistent Self-Ensembling Model for Semi-supervised Medical Image Segmentation,
        IEEE TNNLS 2020, eq. 4 (with ``transform``). https://arxiv.org/abs/1903.00348
    """

    def __init__(
        self,
        student: nn.Module,
        noise_std: float = 0.0,
        transform: Any = None,
        *,
        sigmoid: bool = False,
        snapshots: int = 0,
    ) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.student, self.noise_std, self.transform = student, noise_std, transform
        self.teacher = deepcopy(student).eval().requires_grad_(False)
        # without snapshots, the state dict is that of student and teacher
        self.snapshots = Snapshots(student, snapshots) if snapshots else ()

    def train(self, mode: bool = True) -> MeanTeacher:
        """Set the student to training mode. The teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    def forward(self, x: torch.Tensor, unlabelled: torch.Tensor | None = None) -> Any:
        """Return the student's logits of ``x``, and the probabilities of student and teacher for ``unlabelled``.

        ``x`` is of shape ``(B, C, H, W[, D])``. Without ``unlabelled``, only the logits are returned.
        """
        if unlabelled is None:
            return self.study(x)
        transform: Callable[[torch.Tensor], torch.Tensor] = self.transform or (lambda maps: maps)
        if self.transform is not None:
            self.transform.randomize(unlabelled)
        labelled, of_unlabelled = self.learn(x, unlabelled)
        noise = self.noise_std * torch.randn_like(unlabelled) if self.noise_std else 0.0
        of_unlabelled = of_unlabelled if of_unlabelled.ndim == x.ndim else of_unlabelled[:, 0]
        return labelled, transform(self.probabilities(of_unlabelled)), self.teach(transform(unlabelled) + noise)

    def learn(self, x: torch.Tensor, unlabelled: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the student's logits of ``x`` and of ``unlabelled``.

        For a network with deep supervision, these are the logits of all levels, ``(B, L, C, H, W[, D])``.
        """
        # one forward pass for both parts, so that batch statistics include all images
        output = at_least_float32(self.study(torch.cat([x, unlabelled])))
        labelled, of_unlabelled = output.split([len(x), len(unlabelled)])
        return labelled, of_unlabelled

    def study(self, images: torch.Tensor) -> torch.Tensor:
        """Return the student's logits."""
        logits: torch.Tensor = self.student(images)
        return logits

    @torch.no_grad()
    def teach(self, unlabelled: torch.Tensor) -> torch.Tensor:
        """Return the mean of the probabilities of the teacher and of its snapshots."""
        networks = [self.teacher, *self.snapshots]
        taught = [self.probabilities(at_least_float32(network(unlabelled))) for network in networks]
        return sum(taught[1:], start=taught[0]) / len(taught)

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the probabilities of classes or of regions."""
        return logits.sigmoid() if self.sigmoid else logits.softmax(1)
