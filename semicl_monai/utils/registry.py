"""Components chosen by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.utils import ComponentStore

from semicl_monai.utils.did_you_mean import did_you_mean
from semicl_monai.utils.errors import InputError


class Registry(ComponentStore):
    """A :class:`monai.utils.ComponentStore` whose components are built by name from a config.

    An unknown name is an error that lists the known ones.

    Args:
        name: what the store holds, in the singular (``"sampler"``); it appears in the error.
        description: one sentence about the store.

    Raises:
        InputError: When the store does not know the name of a requested component.

    Example:
        >>> animals = Registry("animal", "Animals by name.")
        >>> _ = animals.add("cat", "A cat.", lambda legs=4: f"a cat with {legs} legs")
        >>> animals.build("cat", {"cat": {"legs": 3}, "dog": {}})
        'a cat with 3 legs'
    """

    def add(self, name: str, desc: str, value: Any) -> Any:
        """Store ``value`` under ``name``.

        Unlike in MONAI's store, the name may be a Python keyword such as ``"global"``.
        """
        self.components[name] = self._Component(desc, value)
        return value

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            hint = did_you_mean(str(name), self.names, "'", "'")
            raise InputError(f"unknown {self.name} '{name}'{hint}; known: {', '.join(self.names)}.")
        return super().__getitem__(name)

    def build(self, name: str, options: Mapping[str, Mapping[str, Any]] | None = None, **shared: Any) -> Any:
        """Build the component called ``name``.

        Args:
            name: which component.
            options: keyword arguments by component name; only those of ``name`` are used.
            shared: keyword arguments that every component of the store takes.
        """
        return self[name](**shared, **(options or {}).get(name, {}))
