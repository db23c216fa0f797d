"""Arguments of the current call of ``monai.bundle run``, from a command line or from Python."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, run

from semicl_monai.utils.did_you_mean import did_you_mean
from semicl_monai.utils.errors import InputError
from semicl_monai.utils.running_config import config_folder, running_call

# Entries that the runner adds to a config for experiment tracking; a user may set them.
TRACKING = ["tracking_uri", "experiment_name", "run_name", "save_execute_config", "is_not_rank0"]
HELP = ("help", "h")


def find_bundle_root() -> str:
    """Return the bundle folder of the running config file, or ``"."`` if there is no such file.

    The bundle folder is the one above ``configs``. A config then finds its own bundle from any working directory. A
    program that sets ``bundle_root`` itself (MONAI Label, FL clients, tests) replaces this value.
    """
    files = _config_files(runner_arguments())
    folder = Path(files[0]).parent if files else config_folder()
    return str(folder.resolve().parent) if folder else "."


def check_overrides(others: Sequence[str] = ()) -> None:
    """Refuse an option that the config files do not know.

    The runner itself accepts an unknown option silently.

    Args:
        others: known options outside the config files, those of methods.

    Raises:
        InputError: When an option is unknown; the error suggests a known one.
    """
    arguments = runner_arguments()
    files = _config_files(arguments)
    if not files or "bundle_root" in running_call():  # MONAI Label adds arguments of its own
        return
    config = ConfigParser.load_config_files(files)
    known = [*config, *others, *inspect.signature(run).parameters]
    known += TRACKING if "tracking" in arguments else []
    for name in arguments:
        top, *below = name.replace("#", "::").split("::")
        if top not in known:
            hint = did_you_mean(top, known, "--")
            raise InputError(f"unknown option --{top}{hint}? No config file has an entry of that name.")
        _check_below(config.get(top), top, below)
    _check_files(files, config)


def _check_files(files: Sequence[str], config: Mapping[str, Any]) -> None:
    """Refuse a misspelt entry: only a further file has it, nothing refers to it, and a known name is close."""
    first, text = ConfigParser.load_config_files(files[:1]), json.dumps(config, default=str)
    for name in (name for name in config if name not in first):
        hint = did_you_mean(name, first, cutoff=0.8)
        if hint and not re.search(rf"[@%]{re.escape(name)}\b", text):
            raise InputError(f"{', '.join(files[1:])}: unknown entry {name}{hint}?")


def _check_below(entry: Any, name: str, below: Sequence[str]) -> None:
    """Refuse a new name in a plain collection of entries, where nothing would read it.

    Components, and entries below them, may have arguments that the config does not give.
    """
    for key in below:
        if not isinstance(entry, Mapping) or "_target_" in entry:
            return
        if key not in entry:
            hint = did_you_mean(key, entry, f"--{name}::")
            raise InputError(f"unknown option --{name}::{key}{hint}? No config file has an entry of that name.")
        entry, name = entry[key], f"{name}::{key}"


def further_files() -> list[str]:
    """Return the config files that override the first one, without those for several processes."""
    return [file for file in _config_files(runner_arguments())[1:] if not Path(file).name.startswith("multi_gpu_")]


def started_by_user() -> bool:
    """Whether a user runs the configs by :func:`monai.bundle.run`, from Python or a command line.

    MONAI Label calls :func:`monai.bundle.run` too. It gives ``bundle_root`` as an override. For training on several
    GPUs it gives a config of its own instead.
    """
    arguments = runner_arguments()
    files = _config_files(arguments)
    return bool(files) and Path(files[0]).name != "monailabel_train.json" and "bundle_root" not in arguments


def wants_help() -> bool:
    """Whether ``--help`` was given; the runner hands it on to the config."""
    return any(name in HELP for name in runner_arguments())


def runner_arguments(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the named arguments of ``python -m monai.bundle run`` as text.

    Arguments of a call of :func:`monai.bundle.run` from Python are returned as they were given.

    Args:
        argv: the command line, ``sys.argv`` by default. The result is empty for any other program.
    """
    arguments = _typed(sys.argv if argv is None else argv)
    if not arguments and argv is None:
        arguments = {name: value for name, value in running_call().items() if value is not None}
    # not load_config_files: it would read "network_def::features" as a place in a config
    from_file = ConfigParser.load_config_file(arguments["args_file"]) if "args_file" in arguments else {}
    return {**from_file, **arguments}


def _typed(argv: Sequence[str]) -> dict[str, Any]:
    if Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or "run" not in argv[1:2]:
        return {}
    arguments: dict[str, Any] = {}
    for token, following in zip(argv[2:], [*argv[3:], ""], strict=True):
        if _is_option(token):
            name, equals, value = token.lstrip("-").partition("=")
            arguments[name.replace("-", "_")] = value if equals else following
    return arguments


def _is_option(token: str) -> bool:
    """Whether fire reads a word as an option: ``-epochs`` is one too, but ``-1`` is not."""
    return token.startswith("-") and token.lstrip("-")[:1].isalpha()


def _config_files(arguments: dict[str, Any]) -> list[str]:
    files = _literal(arguments.get("config_file"))
    if isinstance(files, str | Path):
        return [str(files)] if Path(files).is_file() else str(files).split(",")
    return [str(file) for file in files or []]


def _literal(value: Any) -> Any:
    """Read a list such as ``"['a.json','b.json']"`` as the runner does, and return any other value unchanged."""
    return ast.literal_eval(value) if isinstance(value, str) and value.startswith("[") else value
