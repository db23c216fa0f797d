"""Training of a student with its teacher's confident labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, ClassVar

from monai.transforms import Compose, CopyItemsd
from torch import nn

from semicl_monai.data import SegmentationDatalist
from semicl_monai.data.sections import Record
from semicl_monai.engines import CosineCycles, SemiSupervisedPrepareBatch, agreement, region_agreement
from semicl_monai.handlers import SnapshotKeeper
from semicl_monai.losses import PseudoLabelLoss
from semicl_monai.methods.method import SampleTransform
from semicl_monai.methods.semi_supervised import SemiSupervisedMethod
from semicl_monai.networks import DistributionAlignment, SelfTraining
from semicl_monai.transforms import FillUnannotatedd, RandCopyPaste, RandCutMix, RandWarp, StrongViewsd
from semicl_monai.utils import InputError, is_true


@dataclass(frozen=True)
class SelfTrainingMethod(SemiSupervisedMethod):
    """Learn a teacher's confident labels.

    Args:
        pseudo_threshold: lowest confidence of the teacher at which its label is used.
        soft_pseudo_labels: whether the student learns the probabilities of the teacher in place of its labels.
        elastic_prob: probability of an elastic deformation of the images of the student.
        elastic_range: strength of the deformation.
        cut_mix_prob: probability that a box of another image is pasted in.
        zoom_range: largest change of size of the images of the student.
        rotate90_prob: probability that an image of the student is rotated by 90, 180 or 270 degrees.
        copy_paste_prob: probability that boxes of labelled and unlabelled images are swapped, with their labels.
        strong_views: number of views of an unlabelled image that the student sees in a step.
        align_classes: whether the teacher's classes get the shares of the foreground that they have in labels.
        snapshots: number of snapshots of the teacher that teach beside it. They are taken at the ends of cycles of the
            learning rate: there is one cycle more than snapshots.
        num_classes: number of classes, the background included.
        thick_axis: axis of thick slices, along which nothing is moved.
    """

    paper: ClassVar[str] = "Sohn et al. 2020, arXiv:2001.07685"
    score: ClassVar[str] = "agreement"
    waits_for_teacher: ClassVar[bool] = True

    pseudo_threshold: float = 0.0
    soft_pseudo_labels: bool | str = True
    elastic_prob: float = 0.3
    elastic_range: float = 0.2
    cut_mix_prob: float = 0.5
    zoom_range: float = 0.0
    rotate90_prob: float = 0.0
    copy_paste_prob: float = 0.5
    strong_views: int = 1
    align_classes: bool | str = False
    snapshots: int = 0
    num_classes: int = 2
    thick_axis: int | None = None

    def model(self, network: nn.Module) -> nn.Module:
        """Return student and teacher."""
        return SelfTraining(network, self.strong_transforms(), **self.teaching())

    def teaching(self) -> dict[str, Any]:
        """Return the further options of the network of student and teacher."""
        return {"paste": self.paste(), "regions": self.regions, "align": self.align(), "snapshots": self.snapshots}

    def lr_lambda(self, epochs: int) -> CosineCycles:
        """Return the factor of all learning rates in each epoch. It has a cycle for each snapshot, and a last one."""
        return CosineCycles(epochs, self.warm_up, snapshots=self.snapshots)

    def handlers(self, model: Any, loss: Any, iterations_per_epoch: int) -> list[Any]:
        """Return the handlers of all methods with a teacher, and one that keeps its snapshots."""
        ends = self.lr_lambda(self.epochs).ends
        return [*super().handlers(model, loss, iterations_per_epoch), SnapshotKeeper(model, ends)]

    def align(self) -> DistributionAlignment | None:
        """Return what aligns the teacher's classes with those of labels."""
        if not is_true(self.align_classes, "align_classes"):
            return None
        if self.sigmoid:
            raise InputError(
                "align_classes must be false for regions, which have no shares of the foreground, got true."
            )
        return DistributionAlignment(self.num_classes)

    def paste(self) -> RandCopyPaste | None:
        """Return the transform that swaps parts of labelled and unlabelled images."""
        return RandCopyPaste(prob=self.copy_paste_prob) if self.copy_paste_prob else None

    def strong_transforms(self) -> list[Callable[..., Any]]:
        """Return the transforms of the student's images. The teacher's labels get the same transforms."""
        warp = RandWarp(
            deform_prob=self.elastic_prob,
            deform=self.elastic_range,
            zoom=self.zoom_range,
            rotate90_prob=self.rotate90_prob,
            thick_axis=self.thick_axis,
        )
        return [warp, RandCutMix(prob=self.cut_mix_prob)]

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the supervised loss plus the loss of the labels of the teacher."""
        soft = is_true(self.soft_pseudo_labels, "soft_pseudo_labels")
        return PseudoLabelLoss(supervised, threshold=self.pseudo_threshold, soft=soft, sigmoid=self.sigmoid)

    def prepare_batch(self) -> SemiSupervisedPrepareBatch:
        """Return a ``prepare_batch`` for labelled images, their labels, and both views and labels of other images."""
        return SemiSupervisedPrepareBatch(["unlabelled_weak_image", "unlabelled_image", "label", "unlabelled_label"])

    def unlabelled(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return all unlabelled volumes, with their weak labels, and labelled ones that may be annotated in part."""
        return datalist.to_teach(with_labels=True)

    def unlabelled_transforms(
        self,
        draw: SampleTransform,
        spatial: Sequence[SampleTransform],
        weak: Sequence[SampleTransform],
        intensity: Sequence[SampleTransform],
    ) -> list[SampleTransform]:
        """Return transforms that make a view for the teacher and views for the student, of the same geometry.

        A label map of the same geometry tells which voxels are annotated. Samples are drawn from the whole volume, as
        if it had no label: a draw around annotated voxels would leave out what the teacher is for.
        """
        draw = copy(draw)
        draw.label_key = None  # type: ignore[attr-defined]
        weak_image = CopyItemsd("image", names="weak_image")
        strong = StrongViewsd(list(intensity), self.strong_views)
        return [draw, Compose(list(weak)), weak_image, strong, FillUnannotatedd()]

    def agreement(self) -> Callable[..., Any]:
        """Return the score: the share of pixels on which student and teacher agree."""
        return region_agreement if self.sigmoid else agreement
