"""The base class of methods that pre-train."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from monai.engines import PrepareBatch
from monai.transforms import Compose
from torch import nn

from semicl_monai.data import SegmentationDatalist, VolumeDataset
from semicl_monai.data.sections import Record
from semicl_monai.engines import TwoViewPrepareBatch, view_retrieval
from semicl_monai.methods.method import Method, SampleTransform
from semicl_monai.networks import ContrastiveNetwork, GlobalHead
from semicl_monai.transforms import TwoViewd


@dataclass(frozen=True)
class PretrainingMethod(Method, ABC):
    """A method that pre-trains. Fine-tuning is supervised.

    By default, two views of each image pass the encoder, and the head projects each view to one embedding. A method of
    two stages is the class of the second stage. It names the class of the first stage in ``starts_from``.

    Args:
        tap: the feature map that the head projects: ``"bottleneck"``, ``"decoder"``, or a number of decoder blocks.

    Attributes:
        objective: name of the training objective; the folders of logs and checkpoints have this name.
        starts_from: the method that has pre-trained the initial weights; ``None`` for random ones.
        frozen_encoder: whether the encoder is frozen.
        decoder_blocks: number of decoder blocks that are trained; ``None`` for all.
        pairs_images: whether each batch of labelled images comes with a batch of all training images.
    """

    objective: ClassVar[str]
    images: ClassVar[bool] = True
    starts_from: ClassVar[type[PretrainingMethod] | None] = None
    frozen_encoder: ClassVar[bool] = False
    decoder_blocks: ClassVar[int | None] = 0
    pairs_images: ClassVar[bool] = False

    tap: str | int = "bottleneck"

    @abstractmethod
    def loss(self) -> nn.Module:
        """Return the loss. It is called with the output of the head and the targets of :meth:`prepare_batch`."""

    def head(self) -> Callable[..., nn.Module]:
        """Return a function that builds the head from ``in_channels`` and ``spatial_dims``."""
        return partial(GlobalHead, out_channels=128)

    def global_head(self) -> Callable[..., nn.Module] | None:
        """Return a function that builds a second head, on the bottleneck; ``None`` for no such head."""
        return None

    def prepare_batch(self) -> PrepareBatch:
        """Return the ``prepare_batch`` of trainer and evaluator."""
        return TwoViewPrepareBatch()

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return the score of the pretext task, for :class:`semicl_monai.handlers.PretextMetric`.

        Args:
            loss: the return value of :meth:`loss`.
        """
        return view_retrieval

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return the random transforms of a volume.

        Args:
            draw: draws samples of the volume: slices or patches.
            spatial: spatial augmentation of a sample.
            intensity: intensity augmentation of a sample.
        """
        return [draw, TwoViewd(list(spatial), list(intensity))]

    def cases(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the training volumes: the labelled ones, or all images if the method uses no labels."""
        return datalist.labelled if self.labels else datalist.training

    def paired_images(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the volumes that are paired with the labelled ones; none by default."""
        return datalist.training if self.pairs_images else []

    def scored_cases(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the volumes that are scored: the validation volumes, or the training volumes if there are none."""
        if not datalist.to_validate():
            return self.cases(datalist)
        return datalist.validation if self.labels else datalist.validation_images

    def seen(self, cases: VolumeDataset, images: VolumeDataset) -> dict[str, VolumeDataset]:
        """Return the volumes that are used, by part, for :class:`semicl_monai.handlers.RunProvenance`.

        Args:
            cases: the volumes of :meth:`cases`.
            images: the volumes of :meth:`paired_images`.
        """
        return {"labelled": cases, "unlabelled": images} if self.labels else {"unlabelled": cases}

    def model(self, network: nn.Module) -> nn.Module:
        """Return the network with the head. The initial weights of the head depend on the seed alone."""
        with torch.random.fork_rng(devices=[]):  # heads are made on the CPU
            torch.set_rng_state(torch.Generator().manual_seed(torch.initial_seed()).get_state())
            return ContrastiveNetwork(
                network, self.head(), self.tap, frozen_encoder=self.frozen_encoder, global_head=self.global_head()
            )


def one_view(
    draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
) -> list[SampleTransform]:
    """Return random transforms that make one view of a sample."""
    return [draw, Compose(list(spatial)), Compose(list(intensity))]
