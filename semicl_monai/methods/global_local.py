"""The main method of the project: contrast of all images, then of labelled pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from semicl_monai.methods.local import Local
from semicl_monai.methods.pretraining import PretrainingMethod
from semicl_monai.methods.simclr import SimCLR


@dataclass(frozen=True)
class GlobalLocal(Local):
    """First global, then local."""

    starts_from: ClassVar[type[PretrainingMethod] | None] = SimCLR
