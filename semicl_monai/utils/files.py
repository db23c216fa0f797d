"""Files that are written whole or not at all, and JSON that is read with a line for what is wrong."""

from __future__ import annotations

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from semicl_monai.utils.errors import InputError


def write_whole(path: str | Path, content: str | bytes | memoryview, advice: str = "") -> None:
    """Write a file whole or not at all; its folder is made.

    A draft beside the file is flushed to the disk and renamed, so that a full disk or a power cut leaves the old file.

    Args:
        path: the file.
        content: text, which is encoded as UTF-8, or bytes.
        advice: what the user can do about an error, appended to its line.

    Raises:
        InputError: When it cannot be written. No draft is left behind.
    """
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(draft, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        hint = f"; {advice}" if advice else ""
        raise InputError(f"cannot write {path}: {error.strerror}{hint}.") from error


def save_json(content: Any, path: str | Path) -> None:
    """Write ``content`` as JSON to ``path``, whole or not at all.

    Raises:
        InputError: When it cannot be written.
    """
    text = json.dumps(content, indent=4, default=str) + "\n"
    write_whole(path, text, "give a writable --output_dir")


def save_tensors(content: Any, path: str | Path) -> None:
    """Write ``content`` by :func:`torch.save` to ``path``, whole or not at all.

    Raises:
        InputError: When it cannot be written.
    """
    buffer = io.BytesIO()  # torch does not tell why it cannot write a file
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), "give a writable --output_dir")


def read_json(file: str | Path, option: str) -> dict[str, Any]:
    """Return the JSON object in a file; a byte order mark is skipped.

    Args:
        file: the file.
        option: what it is given as, for the error.

    Raises:
        InputError: When it cannot be read or holds something else.
    """
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{option} {file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"{option} {file} must be a JSON file, got: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{option} {file} must hold a JSON object, got a {type(content).__name__}.")
    return content
