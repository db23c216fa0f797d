"""Round a number up or down at random."""

from __future__ import annotations

import math

import numpy as np


def random_round(number: float, random_state: np.random.RandomState) -> int:
    """Round ``number`` to one of its two neighbours, so that the mean of many calls is ``number``.

    A whole number is returned as it is, without a random draw.

    Args:
        number: the number, 0 or more.
        random_state: generator that the draw comes from.
    """
    below = math.floor(number)
    return below + int(number > below and random_state.random_sample() < number - below)
