"""The running config, found from a component through its callers."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow, run


# MONAI gives a component only its own arguments. The component's callers know the arguments of the whole run.
def running_parser() -> ConfigParser | None:
    """Return the parser that builds the caller; ``None`` outside of a config."""
    found = (frame.f_locals.get("self") for frame in _callers())
    return next((parser for parser in found if isinstance(parser, ConfigParser)), None)


def running_config() -> dict[str, Any]:
    """Return the config, overrides included, whose parser builds the caller; empty outside of a config.

    Values are as they were written: numbers, text, ``"$..."`` expressions, ``{"_target_": ...}``. They belong to the
    parser and must not be changed.
    """
    parser = running_parser()
    return {} if parser is None else parser.get()


def config_folder() -> Path | None:
    """Return the folder ``configs`` of the bundle whose workflow builds the caller; else ``None``."""
    found = (frame.f_locals.get("self") for frame in _callers())
    workflow = next((each for each in found if isinstance(each, ConfigWorkflow)), None)
    folder = Path(workflow.config_root_path) if workflow is not None else None
    return folder if folder is not None and folder.name == "configs" else None


def running_call() -> dict[str, Any]:
    """Return the arguments of the current :func:`monai.bundle.run`, from a command line or from Python.

    These are ``config_file``, ``args_file``, ``run_id``, ... and the overrides by their names, as the caller gave them.
    The result is empty in programs that build a workflow themselves, such as MONAI Label and clients of federated
    learning.
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
