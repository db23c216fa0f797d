"""Epochs of the full length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def whole_epoch(batches: Iterable[Any], number: int) -> Iterator[Any]:
    """Pass on the batches of an epoch, and raise an error at the end if there were fewer than ``number``.

    An ignite engine does not notice when a loader ends early. It would train on fewer batches or on none.

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
