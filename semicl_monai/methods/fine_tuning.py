"""What every method of fine-tuning has."""

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
    """A method that fine-tunes any weights, by labelled images alone unless it says otherwise.

    Attributes:
        has_unused_parameters: whether a step may leave parameters without a gradient.
    """

    has_unused_parameters: ClassVar[bool] = False

    @property
    def warm_up(self) -> int:
        """Epochs by labels alone, before it listens to a teacher."""
        return 0

    def loss(self, supervised: nn.Module) -> nn.Module:
        """Return the loss of what the model makes and of the targets of :meth:`prepare_batch`.

        Args:
            supervised: the loss of logits and label maps.
        """
        return supervised

    def prepare_batch(self) -> Callable[..., Any]:
        """Return what gives network and loss their parts of a batch."""
        return default_prepare_batch

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the network that is validated and kept, a part of what :meth:`model` has returned."""
        return model

    def unlabelled(self, datalist: SegmentationDatalist) -> list[Record]:
        """Return the unlabelled volumes it trains with; a method that needs none does not read the data list."""
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
            draw: draws samples, slices or patches, of it.
            spatial: spatial augmentation of a sample.
            weak: what hardly augments a sample.
            intensity: augmentation of its intensities.
        """
        return one_view(draw, spatial, intensity)

    def handlers(self, model: nn.Module, loss: nn.Module, iterations_per_epoch: int) -> list[Any]:
        """Return handlers of the trainer.

        Args:
            model: what :meth:`model` has returned.
            loss: what :meth:`loss` has returned.
            iterations_per_epoch: steps of an epoch.
        """
        return []


@dataclass(frozen=True)
class Random(FineTuningMethod):
    """No pre-training."""
