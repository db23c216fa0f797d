"""Write files whole or not at all; read JSON with one-line errors."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from semicl_monai.utils.errors import InputError, reason_of


@contextmanager
def draft_of(target: Path, name: str = "") -> Iterator[Path]:
    """Yield a path for a draft of a file or a folder, and rename the draft to ``target`` at the end.

    The draft lies in a hidden folder beside ``target``; missing parent folders are made. Each call has its own hidden
    folder, so threads, processes and machines can write at the same time. After an error or Ctrl-C nothing is left.

    Args:
        target: the file or folder.
        name: name of the draft, by default that of ``target``.

    Raises:
        OSError: When it cannot be written, or ``target`` is a folder that is not empty.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-", ignore_cleanup_errors=True) as folder:
        draft = Path(folder, name or target.name)
        yield draft
        os.replace(draft, target)


def write_whole(path: str | Path, content: str | bytes | memoryview, advice: str = "") -> None:
    """Write a file completely or not at all.

    The folder of the file is made when it does not exist. The content goes to a draft next to the file. The draft is
    flushed to the disk and then renamed. The old file therefore survives a full disk or a power cut.

    Args:
        path: the file.
        content: bytes, or text, which is encoded as UTF-8.
        advice: what the user can do about an error. It is appended to the error.

    Raises:
        InputError: When the file cannot be written. No draft is left behind.
    """
    # a file name that is not UTF-8 is written as its bytes
    data = content.encode(errors="surrogateescape") if isinstance(content, str) else content
    with writing(path, advice) as draft, open(draft, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def writing(path: str | Path, advice: str = "", suffix: str = "") -> Iterator[Path]:
    """Yield the path of a draft, for a library that writes files by name, and rename the draft to ``path`` at the end.

    Args:
        path: the file.
        advice: what the user can do about an error. It is appended to the error.
        suffix: ending of the name of the draft.

    Raises:
        InputError: When the file cannot be written. No draft is left behind.
    """
    try:
        target = Path(os.path.realpath(path))  # a link stays a link
        # a killed process leaves its draft: a search for the name of the file must not find it
        with draft_of(target, f"draft{suffix}") as draft:
            yield draft
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}{f'; {advice}' if advice else ''}.") from error


@contextmanager
def new_folder(path: str | Path, content: str) -> Iterator[Path]:
    """Make a folder whole or not at all: yield a draft to fill, which is renamed to ``path`` at the end.

    Args:
        path: the folder. It must be new or empty.
        content: what the folder holds, such as ``"the bundle"``. It is named in the error.

    Raises:
        InputError: When the folder cannot be written. No draft is left behind.
    """
    path = draft = Path(path)
    try:
        with draft_of(path) as draft:
            draft.mkdir()
            yield draft
    except (OSError, InputError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        if not isinstance(cause, OSError) or (cause is not error and str(draft) not in str(error)):
            raise  # not an error of the draft
        raise InputError(f"{content} cannot be written to {path}: {reason_of(cause)}.") from error


def save_json(content: Any, path: str | Path, advice: str = "give a writable --output_dir") -> None:
    """Write ``content`` as JSON to ``path``, completely or not at all.

    The file is ASCII, since MONAI opens configs in the encoding of the locale.

    Raises:
        InputError: When the file cannot be written.
    """
    write_whole(path, json.dumps(content, indent=4, default=str) + "\n", advice)


def save_tensors(content: Any, path: str | Path, advice: str = "give a writable --output_dir") -> None:
    """Write ``content`` by :func:`torch.save` to ``path``, completely or not at all.

    Raises:
        InputError: When the file cannot be written.
    """
    buffer = io.BytesIO()  # the error of torch does not say why a file cannot be written
    torch.save(content, buffer)
    write_whole(path, buffer.getbuffer(), advice)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON file; a repeated name is refused, because Python would keep only its last entry."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"an entry '{next(name for name in names if names.count(name) > 1)}' that appears twice")
    return content


def read_json(file: str | Path, option: str) -> dict[str, Any]:
    """Return the JSON object in a file. A byte order mark is skipped.

    Args:
        file: the file.
        option: name of the option, for the error.

    Raises:
        InputError: When the file cannot be read or does not hold a JSON object.
    """
    try:
        content = json.loads(Path(file).read_text(encoding="utf-8-sig"), object_pairs_hook=_each_once)
    except OSError as error:
        raise InputError(f"{option} {file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{option} {file} must be a JSON file, got: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{option} {file} must hold a JSON object, got a {type(content).__name__}.")
    return content
