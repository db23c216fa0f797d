"""Config entries as comparable text, and config values that are computed without building a component."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser, ReferenceResolver

# All that an expression may call. Other calls could build or change something. The run makes them, so they are not made
# a second time here.
CALLS = (
    *(abs, all, any, bool, dict, enumerate, float, int, len, list),
    *(max, min, range, round, set, sorted, str, sum, tuple, zip),
)
NOTHING_ELSE = {"torch": None, "monai": None, "np": None, "numpy": None}

_UNKNOWN = object()


def flatten(config: Any, id: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the entries of a config in order, by ids such as ``train::trainer::max_epochs``.

    A list without components, such as ``[64, 64]`` or ``["instance", {"affine": true}]``, is one entry.
    """
    if isinstance(config, Mapping) and config:
        for key, value in config.items():
            yield from flatten(value, f"{id}::{key}" if id else str(key))
    elif isinstance(config, list | tuple) and _builds(config):
        for number, value in enumerate(config):
            yield from flatten(value, f"{id}::{number}")
    else:
        yield id, config


def as_text(value: Any) -> str:
    """Return a value as text; an object that Python code put into a config becomes the name of its type.

    Example:
        >>> as_text((1.0, 2)), as_text({"a": 0.5}), as_text(object())
        ('[1, 2]', "{'a': 0.5}", 'object')
    """
    return str(_plain(value))


class PlainValues:
    """Values of config entries that are numbers, text, switches, or lists and dicts of them.

    No component is built. An entry that depends on a component has no such value.

    Args:
        config: the config as it was written.
        given: values that are already known, by their ids.
    """

    def __init__(self, config: Mapping[str, Any], given: Mapping[str, Any]) -> None:
        calls = {"__builtins__": {call.__name__: call for call in CALLS}}
        self.parser = ConfigParser(_without_objects({**config, **given}), globals={**NOTHING_ELSE, **calls})
        self.values: dict[str, Any] = {}

    def get(self, id: str, default: Any = None) -> Any:
        """Return the plain value of an entry, or ``default`` when the entry has none."""
        written = self.parser.get(id, default)
        if not isinstance(written, str):
            return self._value(id, default) if isinstance(written, list | dict) else written
        if "@" not in written and not written.startswith("$"):
            return written
        if written not in self.values:  # equal text has equal values
            self.values[written] = self._value(id, _UNKNOWN)
        return default if self.values[written] is _UNKNOWN else self.values[written]

    def _value(self, id: str, default: Any) -> Any:
        if not self._is_plain(self.parser.get(id)):
            return default
        try:
            return self.parser.get_parsed_content(id)
        except Exception:  # an expression may raise anything, as its modules may be missing
            return default

    def _is_plain(self, value: Any, above: tuple[str, ...] = ()) -> bool:
        if isinstance(value, Mapping):
            return "_target_" not in value and all(self._is_plain(item, above) for item in value.values())
        if isinstance(value, list | tuple):
            return all(self._is_plain(item, above) for item in value)
        if isinstance(value, str):
            names = ReferenceResolver.match_refs_pattern(value)
            return all(n not in above and self._is_plain(self.parser.get(n, _UNKNOWN), (*above, n)) for n in names)
        return value is None or isinstance(value, bool | int | float)


def _builds(config: Any) -> bool:
    if isinstance(config, Mapping):
        return "_target_" in config or any(_builds(value) for value in config.values())
    return isinstance(config, list | tuple) and any(_builds(value) for value in config)


def _without_objects(config: Any) -> Any:
    """Replace each object by a placeholder; a parser might not be able to copy the object."""
    if isinstance(config, Mapping):
        return {key: _without_objects(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return [_without_objects(value) for value in config]
    value = _plain(config)
    return {"_target_": value} if isinstance(value, _Name) else value


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return (
        os.fspath(value)
        if isinstance(value, os.PathLike)
        else _Name(getattr(value, "__qualname__", type(value).__qualname__))
    )


class _Name(str):
    """Stands for an object: the name of its type, or its own name if it is a function or a type."""

    __slots__ = ()
