"""Epochs that are as long as was promised."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def whole_epoch(batches: Iterable[Any], number: int) -> Iterator[Any]:
    """Give the batches of an epoch on, and raise at its end when there were fewer than ``number``.

    An engine of ignite takes a loader that ends early for one that has ended, and trains on less or on nothing.

    Raises:
        RuntimeError: When the batches end early.

    Example:
        >>> list(whole_epoch("ab", 2))
        ['a', 'b']
    """
    count = 0
    for count, batch in enumerate(batches, 1):  # noqa: B007  (counts)
        yield batch
    if count < number:
        raise RuntimeError(f"an epoch must have {number} batches, got {count}: its loader ended early.")
