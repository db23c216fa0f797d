"""Options as the command line gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from semicl_monai.utils.errors import InputError


# not monai.utils.str2bool, which takes "1", "y" and "t" too and does not name the option
def is_true(value: Any, option: str = "a switch") -> bool:
    """Read a switch: a bool, or ``"true"`` / ``"false"`` as the command line gives it.

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
        known: its values.
        option: its name, for the error.

    Raises:
        InputError: When ``value`` is none of ``known``.

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
    """Make the folders a run will write to, before it does any work.

    Raises:
        InputError: When one cannot be written to.
    """
    for folder in folders:
        _check_writable(Path(folder))


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}; give a writable --output_dir.") from error
