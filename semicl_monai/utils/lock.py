"""Locks that let only one run write to a folder at a time."""

from __future__ import annotations

import atexit
import errno
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from semicl_monai.utils.distributed import is_not_rank0
from semicl_monai.utils.errors import InputError
from semicl_monai.utils.options import check_writable

try:
    import fcntl
except ImportError:  # Windows: nothing is locked there
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK = ".lock"
TAKEN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES)  # NFS gives the last one

_held: dict[str, int] = {}  # file descriptors of the locks of this process, by lock file


def lock_folders(folders: Sequence[str | Path]) -> None:
    """Make and lock the folders of a run, until :func:`unlock_folders` or the end of the process.

    A process may lock a folder again, so a failed run in a notebook can be restarted. Its child processes do not hold
    the lock. Of several processes of one run, the first one holds it. Where the system or the file system has no locks,
    a warning is logged.

    Raises:
        InputError: When a folder cannot be written to, or another process holds it. Folders locked before it are
            released.
    """
    if is_not_rank0():
        return
    check_writable(folders)
    new: list[str | Path] = []
    for folder in folders:
        file = _lock_file(folder)
        if file in _held and _is_at(_held[file], file):
            continue
        try:
            lock = _lock(file)
        except BlockingIOError as error:
            unlock_folders(new)
            raise InputError(
                f"another run is at work in {folder}: wait for it, or give another --output_dir."
            ) from error
        if lock is not None:
            _held[file] = lock
            new.append(folder)


def unlock_folders(folders: Sequence[str | Path]) -> None:
    """Release folders that this process holds; other folders are left as they are."""
    for file in map(_lock_file, folders):
        lock = _held.pop(file, None)
        if lock is not None:
            if _is_at(lock, file):
                os.unlink(file)  # while it is held: see _lock
            os.close(lock)


@contextmanager
def locked(output_dir: Path) -> Iterator[None]:
    """Hold the folder of a study; its steps inherit the lock, so no step runs twice at a time.

    Raises:
        InputError: When another run has locked the folder, or the folder cannot be made.
    """
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"output_dir {output_dir} cannot be made: {error.strerror}.") from error
    try:
        lock = _lock(_lock_file(output_dir))
    except BlockingIOError as error:
        raise InputError(
            f"another run, or a step of one, is at work in {output_dir}: wait for it, or end it."
        ) from error
    try:
        if lock is not None:
            os.set_inheritable(lock, True)
        yield
    finally:
        if lock is not None:
            os.close(lock)


def _lock_file(folder: str | Path) -> str:
    return os.path.join(os.path.realpath(folder), LOCK)


def _lock(file: str) -> int | None:
    """Return a file descriptor that holds the lock, or ``None`` when the system does not support locks.

    Raises:
        BlockingIOError: When another process holds the lock.
    """
    while fcntl is not None:
        lock = None
        try:
            lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if lock is None:
                break
            os.close(lock)
            if error.errno in TAKEN:
                raise BlockingIOError(*error.args) from error
            break
        if _is_at(lock, file):
            return lock
        os.close(lock)  # the previous holder has deleted the file in the meantime
    logger.warning(f"{file} cannot be locked: make sure that no other run writes to this folder at the same time.")
    return None


def _is_at(lock: int, file: str) -> bool:
    try:
        return os.path.samestat(os.fstat(lock), os.stat(file))
    except OSError:
        return False


def _unlock_all() -> None:
    unlock_folders([os.path.dirname(file) for file in _held])


def _forget() -> None:
    """Close the locks in a forked process.

    Otherwise a data loader worker would keep the locks after its parent has been killed.
    """
    for lock in _held.values():
        os.close(lock)
    _held.clear()


atexit.register(_unlock_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
