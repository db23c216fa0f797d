"""Functions that read option values from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from semicl_monai.utils.errors import InputError


# not monai.utils.str2bool: it also accepts "1", "y" and "t", and its error does not name the option
def is_true(value: Any, option: str = "a switch") -> bool:
    """Read a switch, which is a bool or the text ``"true"`` or ``"false"`` from the command line.

    Args:
        value: the option as given.
        option: its name, for the error.

    Raises:
        InputError: When ``value`` is anything else.

    Example:
        >>> is_true("true"), is_true(False)
        (True, False)
    """
    text = str(value).lower()
    if text not in ("true", "false"):
        raise InputError(f"{option} must be true or false, got '{value}'.")
    return text == "true"


def one_of(value: Any, known: Sequence[str], option: str) -> str:
    """Read an option with a few known values; upper case and Python's ``None`` are accepted.

    Args:
        value: the option as given.
        known: the known values.
        option: name of the option, for the error.

    Raises:
        InputError: When ``value`` is not in ``known``.

    Example:
        >>> one_of(None, ["best", "none"], "validation")
        'none'
    """
    text = str(value).lower()
    if text not in known:
        raise InputError(f"{option} must be one of {', '.join(known)}, got '{value}'.")
    return text


def dividing_interval(epochs: int, longest: int = 5) -> int:
    """The longest interval that divides the epochs, so that the last epoch is validated too.

    Args:
        epochs: epochs of the training.
        longest: the largest interval allowed.

    Example:
        >>> [dividing_interval(epochs) for epochs in (40, 9, 7, 1)]
        [5, 3, 1, 1]
    """
    return max(interval for interval in range(1, longest + 1) if int(epochs) % interval == 0)


def check_writable(folders: Sequence[str | Path]) -> None:
    """Make the folders that a run will write to, and check that they are writable.

    Raises:
        InputError: When a folder cannot be written to.
    """
    for folder in folders:
        _check_writable(Path(folder))


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; give a writable --output_dir.") from error
