"""What a config cannot see of the ``python -m monai.bundle run`` command that runs it."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser, run

from semicl_monai.utils.errors import InputError

# What the runner adds to a config for its experiment tracking, and a user may set.
TRACKING = ["tracking_uri", "experiment_name", "run_name", "save_execute_config", "is_not_rank0"]


def find_bundle_root() -> str:
    """Return the folder above ``configs`` of the config file the runner was called with, elsewhere ``"."``.

    With it a config finds its own bundle from any working directory; a program that sets ``bundle_root`` itself
    (MONAI Label, FL clients, tests) replaces this value.
    """
    files = _config_files(runner_arguments())
    return str(Path(files[0]).resolve().parent.parent) if files else "."


def check_overrides() -> None:
    """Refuse an option of the command line that the config files do not know; the runner itself accepts it silently.

    Raises:
        InputError: With the name that was probably meant.
    """
    arguments = runner_arguments()
    files = _config_files(arguments)
    if not files:
        return
    known = [*ConfigParser.load_config_files(files), *inspect.signature(run).parameters]
    known += TRACKING if "tracking" in arguments else []
    for name in arguments:
        top = name.replace("#", "::").split("::")[0]
        if top not in known:
            guess = get_close_matches(top, known, n=1)
            hint = f", did you mean --{guess[0]}" if guess else ""
            raise InputError(f"unknown option --{top}{hint}? No config file has an entry of that name.")


def started_by_user() -> bool:
    """Whether the configs are run by ``python -m monai.bundle run`` as a user types it.

    MONAI Label calls the runner for training on several GPUs, with a config it writes for the purpose.
    """
    files = _config_files(runner_arguments())
    return bool(files) and Path(files[0]).name != "monailabel_train.json"


def runner_arguments(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the named arguments of ``python -m monai.bundle run``, those of its ``--args_file`` included.

    Args:
        argv: the command line, ``sys.argv`` by default; of any other program the result is empty.
    """
    argv = sys.argv if argv is None else argv
    if Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py") or "run" not in argv[1:2]:
        return {}
    arguments: dict[str, Any] = {}
    for token, following in zip(argv[2:], [*argv[3:], ""], strict=True):
        if token.startswith("--"):
            name, equals, value = token[2:].partition("=")
            arguments[name.replace("-", "_")] = value if equals else following
    from_file = ConfigParser.load_config_files(_literal(arguments["args_file"])) if "args_file" in arguments else {}
    return {**from_file, **arguments}


def _config_files(arguments: dict[str, Any]) -> list[str]:
    files = _literal(arguments.get("config_file"))
    if isinstance(files, str):
        return [files] if Path(files).is_file() else files.split(",")
    return list(files or [])


def _literal(value: Any) -> Any:
    """Read a list as the runner does: ``"['a.json','b.json']"``; anything else is taken as it is."""
    return ast.literal_eval(value) if isinstance(value, str) and value.startswith("[") else value
