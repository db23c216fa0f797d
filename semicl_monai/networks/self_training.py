"""A student that learns from its teacher's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.utils import ensure_tuple
from torch import nn

from semicl_monai.networks.mean_teacher import MeanTeacher
from semicl_monai.utils import region_maps


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
        paste: random transform that pastes parts of labelled images into the strong view, and of their labels into the
            teacher's probabilities, such as :class:`semicl_monai.transforms.RandCopyPaste`. Images with voxels that are
            not annotated are left out. By default nothing is pasted.
        regions: class numbers of each region, if the network predicts regions. Probabilities are then sigmoids.

    Attributes:
        teacher: a copy of the student, in evaluation mode and without gradients.

    References:
        Sohn et al., FixMatch, NeurIPS 2020, section 2.2, with the teacher of Tarvainen and Valpola, NeurIPS 2017.
        https://arxiv.org/abs/2001.07685
    """

    def __init__(
        self,
        student: nn.Module,
        transform: Any = None,
        *,
        paste: Any = None,
        regions: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__(student, transform=transform, sigmoid=regions is not None)
        self.paste, self.regions = paste, regions

    def forward(self, x: torch.Tensor, *views: torch.Tensor) -> Any:  # type: ignore[override]
        """Return the student's logits, and the teacher's probabilities when views of unlabelled images are given.

        Args:
            x: labelled images ``(B, C, H, W[, D])``.
            views: the weak and the strong view of unlabelled images, ``(U, C, H, W[, D])`` each, or no views. With
                ``paste`` also the label maps of ``x``, ``(B, 1, H, W[, D])``.

        Returns:
            Logits of ``x``, logits of the transformed strong view, and the transformed probabilities of the teacher for
            the weak view. Without views, only the logits of ``x``. Logits of a network with deep supervision are those
            of all levels.
        """
        if not views:
            return self.student(x)
        weak, strong, *labels = views
        taught = self.teach(weak)
        for transform in ensure_tuple(self.transform or ()):
            transform.randomize(strong)
            strong, taught = transform(strong), transform(taught)
        if not self.sigmoid:
            outside = 1 - taught.sum(dim=1, keepdim=True)
            taught = torch.cat([taught[:, :1] + outside, taught[:, 1:]], dim=1)
        if self.paste is not None:
            strong, taught = self._pasted(strong, taught, x, *labels)
        return *self.learn(x, strong), taught

    def _pasted(
        self, strong: torch.Tensor, taught: torch.Tensor, x: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        annotated = (labels >= 0).flatten(1).all(1)
        self.paste.randomize(strong, int(annotated.sum()))
        return self.paste(strong, x[annotated]), self.paste(taught, self._targets(labels[annotated], taught))

    def _targets(self, labels: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        """Return the probabilities that label maps stand for."""
        if self.regions is not None:
            return region_maps(labels, self.regions)
        shape = (len(labels), *taught.shape[1:])
        return taught.new_zeros(shape).scatter_(1, labels.as_subclass(torch.Tensor).long(), 1.0)
