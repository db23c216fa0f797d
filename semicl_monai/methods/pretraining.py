"""What every method that pre-trains has."""

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
    """A method that pre-trains; fine-tuning is supervised.

    By default two views of every image are projected from the bottleneck to one embedding each. A method of two stages
    is the last of them, and names the one before in ``starts_from``.

    Args:
        tap: the map that is projected: ``"bottleneck"``, ``"decoder"``, or a number of decoder blocks.

    Attributes:
        objective: what it trains for; folders of logs and checkpoints have this name.
        starts_from: the method whose weights it goes on from.
        frozen_encoder: whether the encoder stays as it is.
        decoder_blocks: how many decoder blocks it trains; ``None`` for all.
        pairs_images: whether each batch of labelled images comes with one of all training images.
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
        """Return the loss of what the head makes and of the targets of :meth:`prepare_batch`."""

    def head(self) -> Callable[..., nn.Module]:
        """Return what builds the projection head, called with ``in_channels`` and ``spatial_dims``."""
        return partial(GlobalHead, out_channels=128)

    def global_head(self) -> Callable[..., nn.Module] | None:
        """Return what builds a second head, on the bottleneck; by default there is none."""
        return None

    def prepare_batch(self) -> PrepareBatch:
        """Return what gives network and loss their parts of a batch."""
        return TwoViewPrepareBatch()

    def scores(self, loss: Any) -> Callable[..., Any]:
        """Return what tells how well it does its own task, see :class:`semicl_monai.handlers.PretextMetric`.

        Args:
            loss: what :meth:`loss` has returned.
        """
        return view_retrieval

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return the random transforms of a volume.

        Args:
            draw: draws samples, slices or patches, of it.
            spatial: spatial augmentation of a sample.
            intensity: augmentation of its intensities.
        """
        return [draw, TwoViewd(list(spatial), list(intensity))]

    def cases(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the volumes it trains with: the labelled ones, or images alone where it sees no labels."""
        return datalist.labelled if self.labels else datalist.training

    def paired_images(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the volumes whose images are paired with the labelled ones, if any are."""
        return datalist.training if self.pairs_images else []

    def scored_cases(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the volumes its scores are of: those of validation, or without any those of training."""
        if not datalist.to_validate():
            return self.cases(datalist)
        return datalist.validation if self.labels else datalist.validation_images

    def seen(self, cases: VolumeDataset, images: VolumeDataset) -> dict[str, VolumeDataset]:
        """Return the volumes it sees by part, as :class:`semicl_monai.handlers.RunProvenance` wants them.

        Args:
            cases: those of :meth:`cases`.
            images: those of :meth:`paired_images`.
        """
        return {"labelled": cases, "unlabelled": images} if self.labels else {"unlabelled": cases}

    def model(self, network: nn.Module) -> nn.Module:
        """Return the network with the head, whose first weights follow from the seed alone."""
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
