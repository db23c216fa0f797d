"""The errors a user can mend, and how they are shown."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import threading
import traceback as tracebacks
from collections.abc import Iterator
from types import TracebackType
from typing import Any

# What a disk, its rights or its limits refuse. Any other OSError may be a fault of ours, and keeps its traceback.
OF_THE_DISK = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG", "EMFILE", "ENFILE", "EIO"),
        *("ENAMETOOLONG", "ENOTDIR", "EISDIR", "EEXIST", "ELOOP"),
    )
    if hasattr(errno, name)
}
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
# How torch words it; torch.OutOfMemoryError is a RuntimeError too
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "bad allocation")
LESS_MEMORY = (
    "lower --batch_size, --samples_per_volume or --roi_size, or give --cache_dir, which keeps the prepared volumes on "
    "disk"
)


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a folder or an option.

    The message is one line: what is wrong, where (file, case, option), what was wanted, what came.
    """


def find_input_error(error: BaseException | None) -> InputError | None:
    """Return the input error that ``error`` is or was caused by; MONAI wraps what a transform or a config raises."""
    return next((found for found in _causes(error) if isinstance(found, InputError)), None)


def error_line(error: BaseException | None) -> str | None:
    """Return the one line for an error that a user can mend, or that it was caused by; ``None`` for any other.

    These are an :class:`InputError`, a disk that is full, read-only or out of rights, and memory that is not there.

    Example:
        >>> error_line(OSError(28, "No space left on device", "/data/model.pt"))
        '/data/model.pt: No space left on device; free some space, or give a folder on another disk.'
        >>> error_line(KeyError("a")) is None
        True
    """
    found = find_input_error(error)
    if found is not None:
        return str(found)
    lines = (_memory_line(cause) or _disk_line(cause) for cause in _causes(error))
    return next((line for line in lines if line), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it was caused by, the last first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _memory_line(error: BaseException) -> str | None:
    from_torch = isinstance(error, RuntimeError) and any(words in str(error) for words in OUT_OF_MEMORY)
    if isinstance(error, MemoryError) or from_torch or getattr(error, "errno", None) == errno.ENOMEM:
        reason = " ".join((str(error).splitlines() or [""])[0].split())[:200].rstrip(".")
        return f"there is not enough memory{f' ({reason})' if reason else ''}: {LESS_MEMORY}."
    return None


def _disk_line(error: BaseException) -> str | None:
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        name = ascii(error.object)[:200]
        return f"the locale cannot name the file {name}: set the environment variable PYTHONUTF8=1."
    if not isinstance(error, OSError):
        return None
    number, reason, file = _number(error), reason_of(error), error.filename
    if number not in OF_THE_DISK:
        return None
    hint = "free some space, or give a folder on another disk" if number in FULL else "give a folder you can write to"
    hint = "close other programs, or raise the limit (ulimit -n)" if number in (errno.EMFILE, errno.ENFILE) else hint
    file = file or _open_file(error.__traceback__)
    return f"{file or 'a file cannot be written'}: {reason}; {hint}."


def reason_of(error: OSError) -> str:
    """Return why something cannot be read or written, in a word of the system: ``"No space left on device"``."""
    if error.strerror:
        return error.strerror
    number = _number(error)  # shutil.copytree lists (from, to, why) of what it could not copy
    return os.strerror(number) if number else str(error).splitlines()[0][:200]


def _number(error: OSError) -> int | None:
    found = None if error.errno else re.search(r"\[Errno (\d+)\]", str(error))
    return int(found[1]) if found else error.errno


def _open_file(traceback: TracebackType | None) -> str | None:
    """The file that was being written: an error of ``write`` does not name it."""
    frames = [frame for frame, _ in tracebacks.walk_tb(traceback)]
    for value in (value for frame in reversed(frames) for value in _values(frame.f_locals)):
        name = getattr(value, "name", None)
        if isinstance(value, io.IOBase) and isinstance(name, str):
            return name
    return None


def _values(names: dict[str, Any]) -> Iterator[Any]:
    """The variables of a frame, and what the object whose method it is holds."""
    yield from names.values()
    yield from getattr(names.get("self"), "__dict__", {}).values()


def show_input_errors() -> None:
    """Make an uncaught error that a user can mend end the program with its one line in place of a traceback.

    See :func:`error_line` for which these are. Every other error is shown as before. Threads tell theirs in a line too;
    what is told twice, by a thread and by those that wait for it, is told once. Text that the terminal has no letters
    for is printed with escapes. Called from ``initialize`` of our configs.
    """
    previous, previous_of_threads, told = sys.excepthook, threading.excepthook, set[str]()

    def tell(error: BaseException | None) -> bool:
        line = error_line(error)
        if line is not None and line not in told:
            told.add(line)
            print(f"error: {line}", file=sys.stderr)
        return line is not None

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not tell(error):
            previous(kind, error, traceback)

    def hook_of_threads(args: threading.ExceptHookArgs) -> None:
        if not tell(args.exc_value):
            previous_of_threads(args)

    sys.excepthook, threading.excepthook = hook, hook_of_threads
    _print_with_escapes()


def _print_with_escapes() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
