"""Errors that a user can fix, and how they are shown."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import sys
import threading
import traceback as tracebacks
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Any

from tqdm import tqdm

# Errors of a disk, its permissions or its limits. Any other OSError may be our fault, and keeps its traceback.
OF_THE_DISK = {
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EROFS", "EACCES", "EPERM", "EFBIG", "EMFILE", "ENFILE", "EIO"),
        *("ENAMETOOLONG", "ENOTDIR", "EISDIR", "EEXIST", "ELOOP"),
    )
    if hasattr(errno, name)
}
FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
# How torch words missing memory; torch.OutOfMemoryError is a RuntimeError too
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "bad_alloc", "bad allocation")
LESS_MEMORY = (
    "lower --batch_size, --samples_per_volume or --roi_size, or give --cache_dir, which keeps the prepared volumes on "
    "disk"
)

_unchecked: list[str] = []  # config entries that the user has given and that are in no table of options


class InputError(ValueError):
    """Something the user gave cannot be used: a file, a folder or an option.

    The message is one line. It says what is wrong, where (file, case, option), what was expected and what was given.
    """


def find_input_error(error: BaseException | None) -> InputError | None:
    """Return the input error among ``error`` and its causes; MONAI wraps errors of transforms and configs.

    An error in a process of a data loader arrives as the text of its traceback.
    """
    for cause in _causes(error):
        if isinstance(cause, InputError):
            return cause
        text = re.search(rf"^(?:Original )?{InputError.__module__}\.InputError: (.*)$", str(cause), re.MULTILINE)
        if text:
            return InputError(text[1])
    return None


def note_unchecked(entries: Iterable[str]) -> None:
    """Note the config entries of a user that cannot be checked beforehand.

    If a component later fails on them, such as on an unknown argument, one line names these entries.

    Args:
        entries: the entries as they were given, such as ``"--optimizer::weight_decay"``. They replace the entries of an
            earlier run.
    """
    _unchecked[:] = entries


def error_line(error: BaseException | None) -> str | None:
    """Return one line for an error that a user can fix, or that has such a cause; ``None`` for any other.

    A user can fix an :class:`InputError`, a disk that is full, read-only or forbidden to the user, a lack of memory,
    and an unknown component in a config.

    Example:
        >>> error_line(OSError(28, "No space left on device", "/data/model.pt"))
        '/data/model.pt: No space left on device; free some space, or give a folder on another disk.'
        >>> error_line(KeyError("a")) is None
        True
    """
    found = find_input_error(error)
    if found is not None:
        return " ".join(str(found).splitlines())  # a name may hold a line break
    lines = (_memory_line(cause) or _disk_line(cause) or _name_line(cause) for cause in _causes(error))
    return next((line for line in lines if line), None)


def _line_for_user(error: BaseException | None) -> str | None:
    return error_line(error) or _unchecked_line(error)


def _unchecked_line(error: BaseException | None) -> str | None:
    if not _unchecked or not isinstance(error, Exception):
        return None
    while isinstance(error.__cause__, Exception):  # MONAI raises "Failed to instantiate component" from the real reason
        error = error.__cause__
    reason = " ".join(str(error).split())[:300].rstrip(".")
    return f"{type(error).__name__}: {reason}; check what you gave with {', '.join(_unchecked)}."


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and its causes, the latest first."""
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


def _name_line(error: BaseException) -> str | None:
    """Return the line for a ``_target_`` of a config that MONAI does not find."""
    found = re.match(r"Cannot locate class or function path: '(.+)'", str(error))
    if found is None or not isinstance(error, ModuleNotFoundError):
        return None
    return f"the config has the _target_ {found[1]}, which does not exist: check its name."


def _disk_line(error: BaseException) -> str | None:
    if isinstance(error, UnicodeEncodeError) and error.encoding == sys.getfilesystemencoding() != "utf-8":
        name = ascii(error.object)[:200]
        return f"the locale cannot name the file {name}: set the environment variable PYTHONUTF8=1."
    if isinstance(error, UnicodeEncodeError) and error.reason == "surrogates not allowed":
        name = ascii(error.object)[:200]
        if sys.getfilesystemencoding() == "utf-8":
            return f"the name {name} is not in UTF-8: give the file or folder another name."
        return f"the locale cannot name the file {name}: set the environment variable PYTHONUTF8=1."
    number = _number(error)
    if number is None or number not in OF_THE_DISK or not isinstance(error, OSError | RuntimeError):
        return None
    reason = reason_of(error) if isinstance(error, OSError) else os.strerror(number)
    hint = "free some space, or give a folder on another disk" if number in FULL else "give a folder you can write to"
    hint = "close other programs, or raise the limit (ulimit -n)" if number in (errno.EMFILE, errno.ENFILE) else hint
    return f"{_file_of(error) or 'a file cannot be written'}: {reason}; {hint}."


def reason_of(error: OSError) -> str:
    """Return why something cannot be read or written, in the system's words: ``"No space left on device"``."""
    if error.strerror:
        return error.strerror
    number = _number(error)  # the error of shutil.copytree is a list of (source, target, reason)
    return os.strerror(number) if number else str(error).splitlines()[0][:200]


def _number(error: BaseException) -> int | None:
    """The errno of an error; MONAI's SaveImage and processes of data loaders give it only as text."""
    number = getattr(error, "errno", None)
    found = None if number else re.search(r"\[Errno (\d+)\]", str(error))
    return int(found[1]) if found else number


def _file_of(error: BaseException) -> str | None:
    """The file that cannot be read or written; an error of ``write`` does not name it."""
    if getattr(error, "filename", None):
        return str(error.filename)  # type: ignore[attr-defined]
    named = re.search(r"cannot find a suitable writer for (.+)\.\n|\[Errno \d+\] [^'\n]*'([^'\n]+)'", str(error))
    if named:
        return named[1] or named[2]
    frames = [frame for frame, _ in tracebacks.walk_tb(error.__traceback__)]
    names = (_name_of(value) for frame in reversed(frames) for value in frame.f_locals.values())
    return next((name for name in names if name), None)


def _name_of(value: Any) -> str | None:
    """Return the path of an open file of Python or TensorBoard."""
    is_file = isinstance(value, io.IOBase) or type(value).__name__ == "GFile"
    name = (getattr(value, "name", None) or getattr(value, "filename", None)) if is_file else None
    name = os.fsdecode(name) if isinstance(name, str | bytes) else ""
    return None if name.startswith("<") else name or None  # "<stderr>"


def show_input_errors() -> None:
    """End the program with one line, not a traceback, on an uncaught error that a user can fix.

    :func:`error_line` says which errors these are. Every other error is shown as before. Errors of threads are shown in
    one line too. A line that comes from a thread and from its waiting caller is shown once. Characters that the
    terminal cannot show are printed as escapes. ``initialize`` of our configs calls this function.
    """
    previous, previous_of_threads, told = sys.excepthook, threading.excepthook, set[str]()

    def tell(error: BaseException | None) -> bool:
        line = _line_for_user(error)
        if line is not None and line not in told:
            told.add(line)
            for bar in list(getattr(tqdm, "_instances", ())):  # so that the line does not follow a progress bar
                bar.close()
            print(f"error: {line}", file=sys.stderr)
        return line is not None

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if not tell(error):
            previous(kind, error, traceback)

    def hook_of_threads(args: threading.ExceptHookArgs) -> None:
        if not tell(args.exc_value):
            previous_of_threads(args)

    sys.excepthook, threading.excepthook = hook, hook_of_threads
    _log_without_tracebacks()
    _print_with_escapes()


def _log_without_tracebacks() -> None:
    """Drop tracebacks from the log: MONAI's handlers log an exception before it gets here."""
    make = logging.getLogRecordFactory()
    if not isinstance(make, partial) or make.func is not _record_without_traceback:
        logging.setLogRecordFactory(partial(_record_without_traceback, make))


def _record_without_traceback(make: Callable[..., logging.LogRecord], *args: Any, **options: Any) -> logging.LogRecord:
    record = make(*args, **options)
    if record.exc_info and _line_for_user(record.exc_info[1]) is not None:
        record.exc_info = None
    return record


def _print_with_escapes() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
