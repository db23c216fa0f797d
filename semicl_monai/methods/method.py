"""What every method has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import torch
from torch import nn

SampleTransform = Callable[[Any], Any]  # such as MONAI's dictionary transforms


@dataclass(frozen=True)
class Method:
    """A way to use few labels and many images: one class a file, whose fields are its options.

    The first line of its docstring says what it does, in the table of ``python -m semicl_monai methods``.

    Attributes:
        paper: where it is from.
        labels: whether it sees labels before or beyond supervised fine-tuning.
        images: whether it sees all training images.
        contrasts_pixels: whether it contrasts pixels that a ``pixel_sampler`` takes.
    """

    paper: ClassVar[str] = "-"
    labels: ClassVar[bool] = False
    images: ClassVar[bool] = False
    contrasts_pixels: ClassVar[bool] = False

    def options(self) -> dict[str, Any]:
        """Return its options that are numbers or switches, by name, for the record of a run."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str | list)}

    def generators(self) -> list[torch.Generator]:
        """Return random numbers of its own, which every process seeds alike at the start of an epoch."""
        return []

    def piece_size(self, roi_size: Sequence[int]) -> list[int] | None:
        """Return the size of the pieces of images that pass the network too; ``None`` where there are none.

        Args:
            roi_size: size of the images.
        """
        return None

    def model(self, network: nn.Module) -> nn.Module:
        """Return what is trained: the network in the wrapper of this method."""
        return network
