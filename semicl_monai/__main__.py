"""``python -m semicl_monai``: demonstration, tables of methods and options, benchmarks, bundles, MONAI Label."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import fire
from fire.decorators import SetParseFn

from semicl_monai.apps.benchmark_builds import benchmark_builds
from semicl_monai.apps.benchmark_inference import benchmark_inference
from semicl_monai.apps.benchmark_loss import benchmark_loss
from semicl_monai.apps.benchmark_training import benchmark_training
from semicl_monai.apps.demo import demo
from semicl_monai.apps.export_bundle import export_bundle
from semicl_monai.apps.methods import methods
from semicl_monai.apps.monailabel_app import monailabel_app
from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.apps.nnunet_baseline import nnunet
from semicl_monai.apps.options import options
from semicl_monai.apps.report import report
from semicl_monai.apps.study import study
from semicl_monai.utils import check_arguments, paths_of, show_input_errors

COMMANDS = {
    "demo": demo,
    "methods": methods,
    "options": options,
    "benchmark": {
        "builds": benchmark_builds,
        "inference": benchmark_inference,
        "loss": benchmark_loss,
        "training": benchmark_training,
    },
    "export_bundle": export_bundle,
    "new_bundle": new_bundle,
    "monailabel_app": monailabel_app,
    "nnunet": nnunet,
    "study": study,
    "report": report,
}

INTERRUPTED = 130  # a shell's exit code for a program ended by Ctrl-C


def main() -> None:
    """Run a command."""
    show_input_errors()
    os.environ.setdefault("PAGER", "cat" if not sys.stdout.isatty() else "less")
    words = check_arguments(COMMANDS, sys.argv[1:])
    for command in _functions(COMMANDS):
        SetParseFn(str, *paths_of(command))(command)
    try:
        fire.Fire(COMMANDS, words, name="semicl_monai")
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def _functions(commands: Mapping[str, Any]) -> Iterator[Callable[..., Any]]:
    for command in commands.values():
        yield from _functions(command) if isinstance(command, Mapping) else [command]


if __name__ == "__main__":
    main()
