"""Base class of all methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import nn

SampleTransform = Callable[[Any], Any]  # such as MONAI's dictionary transforms


@dataclass(frozen=True)
class Method:
    """A method for few labels and many images. Each method is one class in one file, and its fields are its options.

    The first line of the class docstring describes the method in the table of ``python -m semicl_monai methods``.

    Attributes:
        paper: reference of the method.
        labels: whether it sees labels before or beyond supervised fine-tuning.
        images: whether it sees all training images.
        contrasts_pixels: whether it contrasts the pixels of a ``pixel_sampler``.
    """

    paper: ClassVar[str] = "-"
    labels: ClassVar[bool] = False
    images: ClassVar[bool] = False
    contrasts_pixels: ClassVar[bool] = False

    def options(self) -> dict[str, Any]:
        """Return its options that are numbers, switches, text or lists, by name, for the record of a run."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | list)}

    def generators(self) -> list[torch.Generator]:
        """Return its own random generators. All processes seed them alike at the start of an epoch."""
        return []

    def piece_size(self, roi_size: Sequence[int]) -> list[int] | None:
        """Return the size of the image pieces that also pass through the network, or ``None`` if there are none.

        Args:
            roi_size: size of the images.
        """
        return None

    def model(self, network: nn.Module) -> nn.Module:
        """Return the model to train: the network in the wrapper of this method."""
        return network
