"""The base class of methods that fine-tune."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar

from monai.engines import default_prepare_batch
from torch import nn

from semicl_monai.data import SegmentationDatalist, VolumeDataset
from semicl_monai.data.sections import Record
from semicl_monai.engines import CosineCycles
from semicl_monai.methods.method import Method, SampleTransform
from semicl_monai.methods.parameters import parameter_groups
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

    def parameter_groups(self, model: nn.Module, *others: Any) -> list[dict[str, Any]]:
        """Return the parameters that are trained, with their learning rates.

        Args:
            model: the return value of :meth:`model`.
            others: further arguments of :func:`semicl_monai.methods.parameter_groups`.
        """
        return parameter_groups(model, *others)

    def lr_lambda(self, epochs: int) -> Callable[[int], float]:
        """Return the factor of all learning rates in each epoch.

        Args:
            epochs: number of epochs of the run.
        """
        return CosineCycles(epochs, self.warm_up)

    def prepare_batch(self) -> Callable[..., Any]:
        """Return the ``prepare_batch`` of the trainer."""
        return default_prepare_batch

    def final_network(self, model: nn.Module) -> nn.Module:
        """Return the network that is validated and saved. It is a part of ``model``."""
        return model

    def transforms(
        self, draw: SampleTransform, spatial: Sequence[SampleTransform], intensity: Sequence[SampleTransform]
    ) -> list[SampleTransform]:
        """Return the random transforms of a labelled volume.

        They are copies: the transforms of unlabelled volumes draw random numbers of their own.

        Args:
            draw: draws samples of the volume: slices or patches.
            spatial: spatial augmentation of a sample.
            intensity: intensity augmentation of a sample.
        """
        return deepcopy(one_view(draw, spatial, intensity))

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

    def seen(
        self, labelled: VolumeDataset, unlabelled: VolumeDataset, validation: VolumeDataset
    ) -> dict[str, VolumeDataset]:
        """Return the volumes that are used, by part, for :class:`semicl_monai.handlers.RunProvenance`.

        Args:
            labelled: the labelled training volumes.
            unlabelled: the volumes of :meth:`unlabelled`.
            validation: the validation volumes.
        """
        return {"labelled": labelled, "unlabelled": unlabelled, "validation": validation}

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
