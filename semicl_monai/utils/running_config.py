"""The config that is being run, as a part of it cannot see it otherwise."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import FrameType
from typing import Any

from monai.bundle import ConfigParser, run


# MONAI hands a component its arguments alone. What a whole run was started with is known to its callers.
def running_config() -> dict[str, Any]:
    """Return the config, overrides included, whose parser builds the caller; empty outside of a config.

    Values are as they were written: numbers, text, ``"$..."`` expressions, ``{"_target_": ...}``. They are those of the
    parser itself and must not be changed.
    """
    for frame in _callers():
        parser = frame.f_locals.get("self")
        if isinstance(parser, ConfigParser):
            return parser.get()
    return {}


def running_call() -> dict[str, Any]:
    """Return the arguments of the :func:`monai.bundle.run` at work, from a command line or from Python.

    These are ``config_file``, ``args_file``, ``run_id``, ... and the overrides by their names, as the caller gave them.
    Empty for programs that build a workflow themselves, such as MONAI Label and clients of federated learning.
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
