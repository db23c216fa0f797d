"""The base class of all methods."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import nn

SampleTransform = Callable[[Any], Any]  # such as MONAI's dictionary transforms


@dataclass(frozen=True)
class Method:
    """A method to train with few labels and many images. Each method is one class in one file; its fields are options.

    The table of ``python -m semicl_monai methods`` shows the first line of the docstring of each class.

    Attributes:
        paper: the publication it is from.
        labels: whether it uses labels in another way than supervised fine-tuning does.
        images: whether it uses all training images.
        contrasts_pixels: whether it contrasts pixels, which a ``pixel_sampler`` chooses.
    """

    paper: ClassVar[str] = "-"
    labels: ClassVar[bool] = False
    images: ClassVar[bool] = False
    contrasts_pixels: ClassVar[bool] = False

    def options(self) -> dict[str, Any]:
        """Return the options that are numbers, switches or text, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | list)}

    def generators(self) -> list[torch.Generator]:
        """Return the random generators of this method. All processes seed them alike at the start of an epoch."""
        return []

    def piece_size(self, roi_size: Sequence[int]) -> list[int] | None:
        """Return the size of the pieces of an image, if the network sees pieces too; else ``None``.

        Args:
            roi_size: size of the images.
        """
        return None

    def model(self, network: nn.Module) -> nn.Module:
        """Return the module that is trained: the network, in the wrapper of this method."""
        return network
