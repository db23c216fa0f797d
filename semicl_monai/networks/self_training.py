"""A student that learns from its teacher's labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.utils import ensure_tuple
from torch import nn

from semicl_monai.networks.mean_teacher import MeanTeacher
from semicl_monai.utils import IGNORED, region_maps

EPSILON = 1e-5


class SelfTraining(MeanTeacher):
    r"""Let the teacher see a weakly augmented view of unlabelled images, and the student a strongly augmented one.

    Both views have the same geometry. The same transform is then applied to the strong view and to the teacher's
    probabilities. These probabilities are the student's labels (see :class:`semicl_monai.losses.PseudoLabelLoss`). The
    teacher predicts them on the untransformed weak view, where it is most reliable. Voxels from outside the image are
    background: class 0, or outside of all regions.

    Some voxels of these images may be annotated, for instance all outside of a box around the object. Their labels
    replace those of the teacher. All other voxels of the image get the weight

    .. math::
        a = 1 - \frac{\sum_{v \in B} f_v}{\sum_v f_v}

    where :math:`f_v` is the teacher's probability of foreground, and :math:`B` are the voxels annotated as background.
    So a teacher that disagrees with the annotation teaches less. The probabilities of a voxel sum up to its weight.
    With regions, which have no such sum, all voxels weigh the same.

    Args:
        student: the network to train.
        transform: random transform of batches with ``randomize(images)`` and ``__call__(maps)``, or several in order,
            such as :class:`semicl_monai.transforms.RandWarp` and :class:`semicl_monai.transforms.RandCutMix`.
        paste: random transform that pastes parts of labelled images into the strong view, and of their labels into the
            teacher's probabilities, such as :class:`semicl_monai.transforms.RandCopyPaste`. Images with voxels that are
            not annotated are left out. By default nothing is pasted.
        regions: class numbers of each region, if the network predicts regions. Probabilities are then sigmoids.
        align: function of the teacher's probabilities and the label maps of labelled images that returns other
            probabilities, such as :class:`semicl_monai.networks.DistributionAlignment`. By default they stay.
        snapshots: as for :class:`MeanTeacher`.

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
        align: nn.Module | None = None,
        snapshots: int = 0,
    ) -> None:
        super().__init__(student, transform=transform, sigmoid=regions is not None, snapshots=snapshots)
        self.paste, self.regions, self.align = paste, regions, align

    def forward(
        self,
        x: torch.Tensor,
        weak: torch.Tensor | None = None,
        strong: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        known: torch.Tensor | None = None,
    ) -> Any:
        """Return the student's logits, and the teacher's probabilities when views of unlabelled images are given.

        Args:
            x: labelled images ``(B, C, H, W[, D])``.
            weak: the weak view of unlabelled images, ``(U, C, H, W[, D])``.
            strong: their strong view, or several of them as channels, ``(U, V * C, H, W[, D])``. It is given whenever
                ``weak`` is.
            labels: label maps of ``x``, ``(B, 1, H, W[, D])``, whose parts are pasted. By default nothing is pasted or
                aligned.
            known: label maps of unlabelled images, ``(U, 1, H, W[, D])``, with -1 where they are not annotated. By
                default no voxel is annotated.

        Returns:
            Logits of ``x``, logits of the transformed strong views ``(V * U, ...)``, and the transformed probabilities
            of the teacher for the weak view, once for each strong view. Without views, only the logits of ``x``. Logits
            of a network with deep supervision are those of all levels.
        """
        if weak is None or strong is None:
            return self.study(x)
        known = torch.full_like(weak[:, :1], IGNORED) if known is None else known
        views = strong.split(weak.shape[1], dim=1)
        taught = self.teach(weak)
        if self.align is not None and labels is not None:
            taught = self.align(taught, labels)
        strong, taught = torch.cat(views), torch.cat([self._corrected(taught, known)] * len(views))
        inside = torch.ones_like(taught[:, :1])
        for transform in ensure_tuple(self.transform or ()):
            transform.randomize(strong)
            strong, taught, inside = transform(strong), transform(taught), transform(inside)
        if not self.sigmoid:
            taught = torch.cat([taught[:, :1] + 1 - inside, taught[:, 1:]], dim=1)
        if self.paste is not None and labels is not None:
            strong, taught = self._pasted(strong, taught, x, labels)
        return *self.learn(x, strong), taught

    def _corrected(self, taught: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return the labels of annotated voxels, and the weighted probabilities of all others."""
        labels = self._targets(known.clamp(min=0), taught)
        if not self.sigmoid:
            voxels, foreground = tuple(range(1, known.ndim)), 1 - taught[:, :1]
            wrong = (foreground * (known == 0)).sum(voxels, keepdim=True)
            taught = taught * (1 - wrong / foreground.sum(voxels, keepdim=True).clamp(min=EPSILON))
        return torch.where(known >= 0, labels, taught)

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
