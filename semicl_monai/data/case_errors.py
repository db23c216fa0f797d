"""Errors of samples and batches, in one line that names the case."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from monai.transforms import Compose, apply_transform

from semicl_monai.utils import InputError, find_input_error, transform_once

APPLYING = (apply_transform.__code__, transform_once.__code__)  # functions that apply a "transform"
MOST_LETTERS = 200  # of a reason, to which MONAI adds long hints


@contextmanager
def errors_of_case(case: Any) -> Iterator[None]:
    """Turn an error inside a ``with`` block into an :class:`~semicl_monai.utils.InputError` that names the case.

    An input error keeps its own message. The errors that MONAI wraps around it are removed. Otherwise torch would pass
    only their text from a process.

    Raises:
        InputError: When any error is raised inside. An interrupt or the exit of the program passes unchanged.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        found = find_input_error(error)
        raise InputError(str(found) if found else f"case {case}: {_failure(error)}") from error


def collate_cases(samples: Sequence[Any], collate: Callable[[Sequence[Any]], Any]) -> Any:
    """Return the batch that ``collate`` makes of the samples; an error names the cases of the samples.

    Raises:
        InputError: When the samples cannot be put into one batch.
    """
    try:
        return collate(samples)
    except InputError:
        raise
    except Exception as error:
        cases = ", ".join(dict.fromkeys(map(str, _cases(samples))))
        raise InputError(f"cases {cases or '?'}: cannot be put into one batch: {_one_line(error)}") from error


def _failure(error: BaseException) -> str:
    """Which transform failed and why; MONAI may have wrapped the error several times."""
    name = None
    while True:
        name = _transform_at_work(error) or name
        if not (str(error).startswith("applying transform") and error.__cause__):
            return f"{name or 'preparing it'} failed: {_one_line(error)}"
        error = error.__cause__


def _transform_at_work(error: BaseException) -> str | None:
    """Name of the innermost transform that was being applied; MONAI's error gives only its memory address."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code in APPLYING]
    applied = [frame.f_locals["transform"] for frame in frames]
    return next((type(part).__name__ for part in reversed(applied) if not isinstance(part, Compose)), None)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_LETTERS]}"


def _cases(samples: Sequence[Any]) -> Iterator[Any]:
    for sample in samples:
        if isinstance(sample, (list, tuple)):  # drawn from one volume
            yield from _cases(sample)
        elif isinstance(sample, dict):
            yield sample.get("case", "?")
