"""Arguments of the commands, checked before a command does anything."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from semicl_monai.utils.did_you_mean import did_you_mean
from semicl_monai.utils.errors import InputError
from semicl_monai.utils.option_checks import check_number_signs

HELP = ("-h", "--help")
# Paths and names among the arguments of all commands: fire would read a folder called 2024 as a number.
PATHS = (
    *("app", "bundle", "cardiac_dir", "class_names", "commit", "dataset_dir", "datalist", "folder", "group_pattern"),
    *("image", "images", "labels", "name", "output_dir", "output_file", "python", "settings", "split_file"),
    *("study_dir", "weights"),
)


def check_arguments(commands: Mapping[str, Any], words: Sequence[str]) -> list[str]:
    """Refuse arguments that a command does not take; fire itself would call the command first.

    With ``--help`` nothing is checked. Words after the command are dropped. With such words fire would call it.

    Args:
        commands: functions by name, or further commands by name.
        words: the command line, without the program.

    Returns:
        The words for fire.

    Raises:
        InputError: When a command or an option is unknown (the error suggests a known one), an option is missing or
            given twice, or a path holds ``#``.
    """
    command: Any = commands
    rest, name = list(words), ""
    while isinstance(command, Mapping) and rest and rest[0] not in (*HELP, "--"):
        name = f"{name} {rest[0]}".strip()
        _check_known(rest[0], command, f"unknown command {name}")
        command = command[rest.pop(0)]
    if any(word in HELP for word in rest):
        return [*name.split(), "--", "--help"]
    if callable(command) and "--" not in rest:  # words after it are for fire itself
        _check_call(command, rest, name)
    return list(words)


def paths_of(command: Callable[..., Any]) -> list[str]:
    """Return the arguments of a command that are paths or names of folders."""
    return [name for name in inspect.signature(command).parameters if name in PATHS]


def _check_call(command: Callable[..., Any], words: Sequence[str], name: str) -> None:
    parameters = inspect.signature(command).parameters
    known = [key for key, each in parameters.items() if each.kind is not each.VAR_KEYWORD]
    positional, named = _sorted_out(words)
    if len(positional) > len(known):
        raise InputError(f"{name} takes {len(known)} arguments, got '{positional[len(known)]}' too many.")
    given = dict(zip(known, positional, strict=False))
    for option, value in named:
        if len(known) == len(parameters):
            _check_known(option, known, f"{name}: unknown option --{option}", "--")
        if option in given:
            raise InputError(f"{name}: --{option} is given twice.")
        given[option] = value
    for key in known:
        if key not in given and parameters[key].default is inspect.Parameter.empty:
            raise InputError(f"{name} needs --{key}.")
    check_number_signs({key: value for key, value in given.items() if key in PATHS})


def _sorted_out(words: Sequence[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """Split words into positional ones and options with values, as fire does."""
    positional: list[str] = []
    named: list[tuple[str, str]] = []
    rest = iter(zip(words, [*words[1:], None], strict=False))
    for word, following in rest:
        if not _is_option(word):
            positional.append(word)
            continue
        option, equals, value = word.lstrip("-").partition("=")
        if not equals and following is not None and not _is_option(following):
            value = next(rest)[0]
        named.append((option.replace("-", "_"), value))
    return positional, named


def _is_option(word: str) -> bool:
    return word.startswith("-") and word.lstrip("-")[:1].isalpha()


def _check_known(word: str, known: Sequence[str] | Mapping[str, Any], wrong: str, dashes: str = "") -> None:
    if word not in known:
        hint = did_you_mean(word, known, dashes)
        raise InputError(f"{wrong}{hint}? Known: {', '.join(dashes + name for name in known)}.")
