"""The two builds: an older commit, written to a temporary folder, and the working tree."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from semicl_monai.utils import InputError

CLONE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Build:
    """A build to measure.

    Args:
        name: ``"old"`` or ``"new"``.
        tree: folder of its files.
        commit: the commit, with ``+`` at the end if files were changed after it.
    """

    name: str
    tree: Path
    commit: str


@contextmanager
def checked_out(commit: str, clone: Path = CLONE) -> Iterator[Build]:
    """Write the files of a commit to a temporary folder, and delete them at the end.

    The clone stays as it is: ``git archive`` notes nothing in it.

    Args:
        commit: the commit, or a branch or tag.
        clone: the clone of the repository, by default the one that this package lies in.

    Raises:
        InputError: When there is no clone or no such commit.
    """
    _check_clone(clone)
    found = _git(clone, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}")
    if found is None:
        raise InputError(f"commit must be a commit of the clone {clone}, got '{commit}': git fetch may bring it.")
    files = _git(clone, "archive", "--format=tar", found.decode().strip())
    with TemporaryDirectory(prefix="semicl_old_build_") as folder:
        with tarfile.open(fileobj=io.BytesIO(files or b"")) as archive:
            archive.extractall(folder, filter="data")
        yield Build("old", Path(folder).resolve(), found.decode().strip())


def working_tree(clone: Path = CLONE) -> Build:
    """Return the build of the files as they are now.

    Args:
        clone: as for :func:`checked_out`.

    Raises:
        InputError: When there is no clone.
    """
    _check_clone(clone)
    commit = (_git(clone, "rev-parse", "HEAD") or b"").decode().strip()
    changed = _git(clone, "status", "--porcelain")
    return Build("new", clone, f"{commit}+" if changed else commit)


def _check_clone(clone: Path) -> None:
    top = _git(clone, "rev-parse", "--show-toplevel")
    if top is None or Path(top.decode().strip()).resolve() != clone.resolve():  # not a clone that merely holds ours
        raise InputError(f"benchmark builds must run from a git clone of the repository, got the folder {clone}.")


def _git(clone: Path, *words: str) -> bytes | None:
    """Return the output of git, or ``None`` if it fails."""
    try:
        done = subprocess.run(["git", "-C", str(clone), *words], capture_output=True, check=False)
    except FileNotFoundError as error:
        raise InputError("benchmark builds needs git, which was not found: install it.") from error
    return done.stdout if done.returncode == 0 else None
