"""Places of the images of a batch in their volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


class Places(NamedTuple):
    """The places of a batch of slices (``A`` = 1) or patches (``A`` = 3).

    Args:
        volume: number of the volume of each image ``(N,)``, the same on every rank.
        place: number of the image's place along each axis ``(N, A)``.
        num_places: number of possible places along each axis ``(N, A)``.
    """

    volume: Tensor
    place: Tensor
    num_places: Tensor

    @classmethod
    def from_rows(cls, rows: Tensor) -> Places:
        """Return the places of rows ``(N, 1 + 2A)``: volume, then ``place``, then ``num_places`` along each axis."""
        axes = rows.shape[1] // 2
        return cls(rows[:, 0], rows[:, 1 : 1 + axes], rows[:, 1 + axes :])

    def map(self, function: Callable[[Tensor], Tensor]) -> Places:
        """Apply ``function`` to each part and return the result."""
        return Places(*map(function, self))
