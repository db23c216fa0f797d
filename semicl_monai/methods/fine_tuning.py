"""The base class of methods that fine-tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from monai.engines import default_prepare_batch
from torch import nn

from semicl_monai.data import SegmentationDatalist
from semicl_monai.data.sections import Record
from semicl_monai.methods.method import Method, SampleTransform
from semicl_monai.methods.pretraining import one_view


@dataclass(frozen=True)
class FineTuningMethod(Method):
    """A method that fine-tunes any initial weights. By default it uses the labelled images alone.

    Attributes:
        has_unused_parameters: whether some parameters may get no gradient in a step.
    """

    has_unused_parameters: ClassVar[bool] = False

    @property
    def warm_up(self) -> int:
        """Number of first epochs that use labels alone, before a teacher is used."""
        return 0

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the loss. It is called with the output of the model and the targets of :meth:`prepare_batch`.

        Args:
            supervised: the supervised loss, of logits and label maps.
        """
        return supervised

    def prepare_batch(self) -> Callable[..., Any]:
        """Return the ``prepare_batch`` of the trainer."""
        return default_prepare_batch

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the network that is validated and saved. It is a part of ``model``."""
        return model

    def unlabelled(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the unlabelled training volumes. A method without any does not read the data list."""
        return []

    def unlabelled_transforms(
        self,
        draw: SampleTransform,
        spatial: Sequence[SampleTransform],
        weak: Sequence[SampleTransform],
        intensity: Sequence[SampleTransform],
    ) -> list[SampleTransform]:
        """Return the random transforms of an unlabelled volume.

        Args:
            draw: draws samples of the volume: slices or patches.
            spatial: spatial augmentation of a sample.
            weak: weak augmentation of a sample.
            intensity: intensity augmentation of a sample.
        """
        return one_view(draw, spatial, intensity)

    def handlers(self, model: nn.Module, loss: nn.Module, iterations_per_epoch: int) -> list[Any]:
        """Return further handlers of the trainer.

        Args:
            model: the return value of :meth:`model`.
            loss: the return value of :meth:`loss`.
            iterations_per_epoch: number of steps of an epoch.
        """
        return []


@dataclass(frozen=True)
class Random(FineTuningMethod):
    """No pre-training."""
