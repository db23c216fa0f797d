"""The source of random numbers of several transforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from monai.transforms import Compose, Randomizable


def share_random_state(transforms: Iterable[Callable[..., Any]], state: np.random.RandomState) -> None:
    """Let transforms draw from one source, also those inside a :class:`monai.transforms.Compose`.

    Compose itself creates a source for each transform. This takes longer than a transform of a small image.
    """
    for transform in transforms:
        if type(transform) is Compose:
            transform.R = state
            share_random_state(transform.transforms, state)
        elif isinstance(transform, Randomizable):
            transform.set_random_state(state=state)
