"""``python -m semicl_monai``: demonstration, tables of methods and options, benchmarks, bundles, MONAI Label."""

import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

import fire
from fire.decorators import SetParseFn

from semicl_monai.apps.lazy_commands import LazyCommands

COMMANDS = LazyCommands(
    {
        "demo": "semicl_monai.apps.demo:demo",
        "methods": "semicl_monai.apps.methods:methods",
        "options": "semicl_monai.apps.options:options",
        "benchmark": {
            "builds": "semicl_monai.apps.benchmark_builds:benchmark_builds",
            "drawing": "semicl_monai.apps.benchmark_drawing:benchmark_drawing",
            "inference": "semicl_monai.apps.benchmark_inference:benchmark_inference",
            "loss": "semicl_monai.apps.benchmark_loss:benchmark_loss",
            "memory": "semicl_monai.apps.benchmark_memory:benchmark_memory",
            "training": "semicl_monai.apps.benchmark_training:benchmark_training",
        },
        "export_bundle": "semicl_monai.apps.export_bundle:export_bundle",
        "new_bundle": "semicl_monai.apps.new_bundle:new_bundle",
        "monailabel_app": "semicl_monai.apps.monailabel_app:monailabel_app",
        "nnunet": "semicl_monai.apps.nnunet_baseline:nnunet",
        "study": "semicl_monai.apps.study:study",
        "report": "semicl_monai.apps.report:report",
    }
)

HELP = ("-h", "--help")
INTERRUPTED = 130  # a shell's exit code for a program ended by Ctrl-C


def main() -> None:
    """Run a command."""
    os.environ.setdefault("PAGER", "cat" if not sys.stdout.isatty() else "less")
    words = sys.argv[1:]
    named = [word for word in words if word not in HELP]
    try:
        if COMMANDS.is_group(named):  # torch and MONAI take seconds to import, and a list of commands needs neither
            _fire(COMMANDS.overview(), [*named, "--", "--help"] if named != words else words)
        else:
            _run(words)
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _run(words: list[str]) -> None:
    """Check the arguments of a command, and run it."""
    utils = import_module("semicl_monai.utils")
    utils.show_input_errors()
    warnings.formatwarning = _line
    words = utils.check_arguments(COMMANDS, words)
    commands = {words[0]: COMMANDS[words[0]]} if words[0] in COMMANDS else dict(COMMANDS)
    for command in _functions(commands):
        SetParseFn(str, *utils.paths_of(command))(command)
    _fire(commands, words)


def _line(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """A warning for a user, without the line of code."""
    return f"{category.__name__}: {message}\n"


def _fire(commands: dict[str, Any], words: list[str]) -> None:
    fire.Fire(commands, words, name="semicl_monai")


def _functions(commands: Mapping[str, Any]) -> Iterator[Callable[..., Any]]:
    for command in commands.values():
        yield from _functions(command) if isinstance(command, Mapping) else [command]


if __name__ == "__main__":
    main()
