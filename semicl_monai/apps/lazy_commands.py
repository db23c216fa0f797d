"""Commands that are imported when they are called."""

from __future__ import annotations

import ast
from collections import UserDict
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import Any


class LazyCommands(UserDict[str, Any]):
    """Commands by name. The module of a command is imported when the command is looked up.

    Args:
        commands: the place of each command, ``"module:function"``, or further commands by name.

    Example:
        >>> commands = LazyCommands({"options": "semicl_monai.apps.options:options"})
        >>> commands.overview()["options"].__doc__
        'Print the options of the stages: name, stages, allowed values and meaning.'
        >>> commands["options"].__name__
        'options'
    """

    def __getitem__(self, name: str) -> Any:
        """Return a command, or a plain dict of further commands."""
        return _loaded(self.data[name])

    def overview(self) -> dict[str, Any]:
        """Return functions with the name and the docstring of each command. Nothing is imported."""
        return {name: _described(command) for name, command in self.data.items()}

    def is_group(self, words: list[str]) -> bool:
        """Whether words name several commands: all of them, or a group."""
        commands: Any = self.data
        for word in words:
            commands = commands.get(word) if isinstance(commands, Mapping) else None
        return isinstance(commands, Mapping)


def _loaded(command: Any) -> Any:
    if isinstance(command, Mapping):
        return {name: _loaded(place) for name, place in command.items()}
    return resolve_name(command) if isinstance(command, str) else command


def _described(command: Any) -> Any:
    if isinstance(command, Mapping):
        return {name: _described(place) for name, place in command.items()}
    return _stand_in(command) if isinstance(command, str) else command


def _stand_in(place: str) -> Callable[[], None]:
    """Return a function with the name and the docstring of another one, both read from the source of its module."""

    def command() -> None:
        """Do nothing."""

    module, _, name = place.partition(":")
    functions = (node for node in ast.parse(_source(module)).body if isinstance(node, ast.FunctionDef))
    found = next(node for node in functions if node.name == name)
    command.__name__, command.__doc__ = name, ast.get_docstring(found)
    return command


def _source(module: str) -> str:
    loader: Any = getattr(find_spec(module), "loader", None)
    return str(loader.get_source(module))
