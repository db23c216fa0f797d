"""Durations in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Return a duration in words, as precise as an estimate is.

    Example:
        >>> [duration(seconds) for seconds in (0.2, 41, 95, 2290, 8100)]
        ['1 s', '41 s', '2 min', '38 min', '2 h 15 min']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
