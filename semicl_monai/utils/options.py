"""Options as the command line gives them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from semicl_monai.utils.errors import InputError


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


def save_json(content: Any, path: str | Path) -> None:
    """Write ``content`` to ``path``; its folder is made.

    Raises:
        InputError: When the folder cannot be written to.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=4, default=str) + "\n")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a writable --output_dir.") from error
