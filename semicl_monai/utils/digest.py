"""SHA-256 of files, images and state dicts."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
import torch

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.formats import open_volume, stored_files

Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Stamp = tuple[str, int, int, int, int]

CHUNK = 1 << 20

_images: dict[tuple[Stamp, ...], str] = {}


def file_stamp(file: str | os.PathLike[str]) -> Stamp:
    """Return a stamp that changes with the file: real path, size, both times and inode.

    Raises:
        OSError: When the file does not exist.
    """
    stat = os.stat(file)
    return os.path.realpath(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def file_digest(file: str | os.PathLike[str] | None) -> str | None:
    """Return the SHA-256 of a file, or ``None`` when there is no file."""
    if file is None or not Path(file).is_file():
        return None
    with open(file, "rb") as stream:
        return _sha256(iter(lambda: stream.read(CHUNK), b""))


def volume_file_digest(file: str | os.PathLike[str] | None) -> str | None:
    """Return the SHA-256 of all files that hold a volume, or ``None`` when one is missing."""
    files = [] if file is None else stored_files(file)
    if not files or not all(path.is_file() for path in files):
        return None
    return _sha256(chunk for path in files for chunk in _bytes(path))


def image_digest(files: Files) -> str:
    """Return the SHA-256 of the voxels of an image as float32, which identifies the image.

    These do not matter: file names, links, copies, compression, the rest of the header, the stored data type, and axes
    of size 1 after the third. A file that is no volume is hashed whole. The digest of an unchanged file is computed
    once. The same voxels in another format have the same digest if their axes are the same.

    Args:
        files: the file, or several, one per channel.

    Raises:
        InputError: When a file cannot be read.
    """
    paths = _paths(files)
    key = tuple(stamp for path in paths for stamp in _stamps(path))
    if key not in _images:
        _images[key] = _sha256(chunk for path in paths for chunk in _values(path))
    return _images[key]


def voxel_count(files: Files) -> int | None:
    """Return the number of voxels of an image; only its header is read.

    Only the header is read. Images with different numbers of voxels are different images.
    """
    try:
        return sum(_count(path, tuple(file_stamp(part) for part in stored_files(path))) for path in _paths(files))
    except Exception:  # a broken file can make nibabel raise anything
        return None


def state_digest(state: Mapping[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the names, dtypes, shapes and values of the tensors of a state dict.

    The order of the names, the device and the memory format do not matter.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _paths(files: Files) -> list[Path]:
    return [Path(files)] if isinstance(files, str | os.PathLike) else [Path(file) for file in files]


def _sha256(chunks: Iterator[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:  # a damaged gzip raises these too
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"image file {path} cannot be read: {reason}.") from error


@cache
def _count(path: Path, stamps: tuple[Stamp, ...]) -> int:
    """Number of voxels of a volume; the header of an unchanged file is read once."""
    return math.prod(open_volume(path, allow_gaps=True).shape)


def _stamps(path: Path) -> list[Stamp]:
    with _readable(path):
        return [file_stamp(part) for part in stored_files(path)]


def _values(path: Path) -> Iterator[bytes | memoryview]:
    """Yield the shape and voxels of a volume, or all bytes of any other file."""
    with _readable(path):
        try:
            volume = open_volume(path, allow_gaps=True)
        except Exception:  # a broken file can make its reader raise anything
            for part in stored_files(path):
                yield from _bytes(part, unpack=True)
            return
        voxels = np.asarray(volume.read(), "<f4")
        # the shape (x, y, z, 1) counts as (x, y, z)
        extent = voxels.shape[:3] if math.prod(voxels.shape[3:]) == 1 else voxels.shape
        yield str(extent).encode()
        yield voxels.ravel(order="F").view(np.uint8).data


def _bytes(path: Path, unpack: bool = False) -> Iterator[bytes]:
    with gzip.open(path) if unpack and _is_packed(path) else open(path, "rb") as stream:
        yield from iter(lambda: stream.read(CHUNK), b"")


def _is_packed(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(2) == b"\x1f\x8b"
