"""Access to the running config from inside one of its components."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow, run


# MONAI gives a component only its arguments. The config and the call of the whole run are found in the call stack.
def running_parser() -> ConfigParser | None:
    """Return the config parser that builds the caller, or ``None`` outside of a config."""
    found = (frame.f_locals.get("self") for frame in _callers())
    return next((parser for parser in found if isinstance(parser, ConfigParser)), None)


def running_config() -> dict[str, Any]:
    """Return the running config, including overrides. It is empty outside of a config.

    The running config is the one whose parser builds the caller. Its values are as they were written: numbers, text,
    ``"$..."`` expressions, ``{"_target_": ...}``. The values belong to the parser and must not be changed.
    """
    parser = running_parser()
    return {} if parser is None else parser.get()


def config_folder() -> Path | None:
    """Return the folder ``configs`` of the bundle whose workflow builds the caller, or ``None``."""
    found = (frame.f_locals.get("self") for frame in _callers())
    workflow = next((each for each in found if isinstance(each, ConfigWorkflow)), None)
    folder = Path(workflow.config_root_path) if workflow is not None else None
    return folder if folder is not None and folder.name == "configs" else None


def running_call() -> dict[str, Any]:
    """Return the arguments of the current call of :func:`monai.bundle.run`.

    The call may come from a command line or from Python. The arguments are ``config_file``, ``args_file``, ``run_id``,
    ... and the overrides by name, as the caller gave them. The result is empty for programs that build a workflow
    themselves, such as MONAI Label and clients of federated learning.
    """
    for frame in _callers():
        if frame.f_code is run.__code__:
            given = dict(frame.f_locals)
            return {**given.pop("override", {}), **given}
    return {}


def _callers() -> Iterator[FrameType]:
    frame = inspect.currentframe()
    while frame is not None:
        yield frame
        frame = frame.f_back
