"""Names in a line."""

from __future__ import annotations

from collections.abc import Sequence


def listing(names: Sequence[str], most: int = 5) -> str:
    """Return the first names and the number of the others, for an error message.

    Example:
        >>> listing(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
