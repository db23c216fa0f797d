"""Base class of all methods of fine-tuning."""

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
    """A method that fine-tunes any weights, by default with labelled images only.

    Attributes:
        has_unused_parameters: whether a step may leave parameters without a gradient.
    """

    has_unused_parameters: ClassVar[bool] = False

    @property
    def warm_up(self) -> int:
        """Number of first epochs that use labels only and no teacher."""
        return 0

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the loss of the model's output and the targets of :meth:`prepare_batch`.

        Args:
            supervised: the loss of logits and label maps.
        """
        return supervised

    def prepare_batch(self) -> Callable[..., Any]:
        """Return the function that splits a batch into the network's inputs and the loss's targets."""
        return default_prepare_batch

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the network that is validated and saved, a part of the return value of :meth:`model`."""
        return model

    def unlabelled(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the unlabelled volumes of the training. A method that needs none does not read the data list."""
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
            draw: transform that draws samples (slices or patches) from the volume.
            spatial: spatial augmentation of a sample.
            weak: weak augmentation of a sample.
            intensity: intensity augmentation of a sample.
        """
        return one_view(draw, spatial, intensity)

    def handlers(self, model: nn.Module, loss: nn.Module, iterations_per_epoch: int) -> list[Any]:
        """Return handlers of the trainer.

        Args:
            model: return value of :meth:`model`.
            loss: return value of :meth:`loss`.
            iterations_per_epoch: number of steps of an epoch.
        """
        return []


@dataclass(frozen=True)
class Random(FineTuningMethod):
    """No pre-training."""
