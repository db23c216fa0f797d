"""Checks of the options of synthetic data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from semicl_monai.utils import InputError


def checked_counts(lowest: dict[str, int], **values: Any) -> dict[str, int]:
    """Return the values. Each must be a whole number, not below the number that ``lowest`` holds for its name.

    Raises:
        InputError: When a value is smaller, or not a whole number.
    """
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < lowest[name]:
            raise InputError(f"{name} must be a whole number from {lowest[name]}, got {value!r}.")
    return values


def checked_size(spatial_size: Sequence[int], smallest: int) -> list[int]:
    """Return ``spatial_size`` as a list of three whole numbers, each at least ``smallest``.

    Raises:
        InputError: When ``spatial_size`` is not such a list.
    """
    size = list(spatial_size)
    if len(size) != 3 or not all(isinstance(n, int) and n >= smallest for n in size):
        raise InputError(f"spatial_size must be three whole numbers from {smallest}, got {tuple(size)}.")
    return size
