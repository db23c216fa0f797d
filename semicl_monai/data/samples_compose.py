"""Transforms of all samples of a volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from monai.transforms import Compose, Randomizable

from semicl_monai.utils import has_usual_settings, share_random_state, transform_samples


class SamplesCompose(Compose):
    """A :class:`monai.transforms.Compose` that gives all samples of a volume to transforms that take many at once.

    See :func:`semicl_monai.utils.transform_samples`. One with other settings than the
    default, and one for threads, is MONAI's.

    All transforms draw from one source of random numbers, see :func:`semicl_monai.utils.share_random_state`.
    """

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> SamplesCompose:
        """Seed all transforms."""
        Randomizable.set_random_state(self, seed, state)
        share_random_state(self.transforms, self.R)
        return self

    def __call__(
        self, input_: Any, start: int = 0, end: int | None = None, threading: bool = False, lazy: bool | None = None
    ) -> Any:
        """Return the transformed sample, or a list of samples, after the transforms from ``start`` to ``end``."""
        if threading or lazy or not has_usual_settings(self):
            return super().__call__(input_, start, end, threading, lazy)
        return transform_samples(self.transforms[start:end], input_)
