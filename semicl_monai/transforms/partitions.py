"""Number of samples from each partition of a volume."""

from __future__ import annotations

import numpy as np


def draw_shares(num_samples: int, num_partitions: int, state: np.random.RandomState) -> list[int]:
    """Return the number of samples per partition: equal shares, with the remainder given to random partitions.

    Example:
        >>> sorted(draw_shares(6, 4, np.random.RandomState(0)))
        [1, 1, 2, 2]
    """
    each, rest = divmod(num_samples, num_partitions)
    shares = np.full(num_partitions, each)
    if rest:
        shares[state.choice(num_partitions, rest, replace=False)] += 1
    return shares.tolist()
