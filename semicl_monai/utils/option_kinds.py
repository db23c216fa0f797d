"""Kinds of values that an option may accept."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Kind:
    """A kind of value.

    Args:
        wanted: description that completes "must be ...".
        accepts: whether a value is of this kind.
    """

    wanted: str
    accepts: Callable[[Any], bool]

    def or_none(self) -> Kind:
        """Return the same kind, or ``null`` (``None`` on the command line)."""
        return Kind(f"{self.wanted} or none", lambda value: value is None or self.accepts(value))

    def or_listed(self) -> Kind:
        """Return the same kind, or a list of such values."""
        several = self.listed()
        return Kind(f"{self.wanted}, or {several.wanted}", lambda value: self.accepts(value) or several.accepts(value))

    def listed(self, length: int | None = None) -> Kind:
        """Return a list of such values."""
        count = "" if length is None else f"{length} "
        return Kind(
            f"a list of {count}values, each {self.wanted}",
            lambda value: (
                isinstance(value, list | tuple)
                and length in (None, len(value))
                and all(self.accepts(part) for part in value)
            ),
        )


def whole(low: int, high: int | None = None) -> Kind:
    """Whole numbers of a range; ``1.5`` and ``True`` are refused."""
    wanted = f"a whole number from {low}" + ("" if high is None else f" to {high}")
    return Kind(wanted, lambda value: _is_whole(value) and low <= value and (high is None or value <= high))


def number(low: float = -math.inf, high: float = math.inf, *, above: bool = False, below: bool = False) -> Kind:
    """Finite numbers of a range.

    Args:
        low: lower end of the range.
        high: upper end of the range.
        above: whether ``low`` itself is refused.
        below: whether ``high`` itself is refused.
    """
    return Kind(
        _range(low, high, above, below),
        lambda value: (
            _is_number(value)
            and (low < value if above else low <= value)
            and (value < high if below else value <= high)
        ),
    )


def choice(*known: Any) -> Kind:
    """One of a few words, in upper or lower case, or of a few numbers."""
    names = [str(value) for value in known]
    return Kind(f"one of {', '.join(names)}", lambda value: str(value).lower() in names and not isinstance(value, bool))


def _range(low: float, high: float, above: bool, below: bool) -> str:
    if low == 0 and high == math.inf:
        return "positive" if above else "a number from 0"
    if low == -math.inf:
        return "a finite number"
    if above or below:
        return f"a number {'above' if above else 'from'} {low:g} and {'below' if below else 'up to'} {high:g}"
    return f"a number from {low:g} to {high:g}"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_device(value: Any) -> bool:
    """Whether a tensor can be made on this device."""
    try:
        return torch.empty(1, device=value).device.type != "meta"
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):  # torch has no single error for it
        return False


def _is_list_of_names(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return (
        is_list
        and all(isinstance(name, str) and name.strip() and name != "mean" for name in value)
        and len({*value}) == len(value)
    )


SWITCH = Kind("true or false", lambda value: str(value).lower() in ("true", "false"))
TEXT = Kind("text", lambda value: isinstance(value, str))
NAMES = Kind("a list of names that differ, none of them empty or 'mean'", _is_list_of_names)
# fire reads a folder called 2024 or 1e3 as a number
NUMBERED = "(write ./2024 for a folder called 2024)"
PATH = Kind(
    f"a path as text {NUMBERED}", lambda value: isinstance(value, str | os.PathLike) and str(value).strip() != ""
)
# text alone, as configs append to it
FOLDER = Kind(f"a folder as text {NUMBERED}", lambda value: isinstance(value, str) and value.strip() != "")
DEVICE = Kind("an available device, such as cpu or cuda:0", _is_device)
COMPONENT = Kind("a component of a config file", lambda value: not isinstance(value, str | int | float | list))
SEED = whole(0, 2**32 - 1)
SHARE = number(0, 1)
AXIS = Kind("one of 0, 1, 2", lambda value: _is_whole(value) and 0 <= value <= 2)
POSITIVE = number(0, above=True)
FRACTION = Kind(
    "a fraction above 0.0 and up to 1.0, or a number of volumes from 1",
    lambda value: (_is_whole(value) and value >= 1) or (isinstance(value, float) and 0 < value <= 1),
)
