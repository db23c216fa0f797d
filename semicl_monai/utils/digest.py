"""SHA-256 of what files and networks hold."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple, cast

import torch

from semicl_monai.utils.errors import InputError

Files = str | os.PathLike | Sequence[str | os.PathLike]
Stamp = tuple[str, int, int, int, int]

CHUNK = 1 << 20
NIFTI1, HEADER = 352, 544  # bytes before the voxels, of NIfTI-1 and of NIfTI-2, which is the longer one
NIFTI1_FIELDS = (("8h", 40), ("h", 72), ("f", 108))  # dim, bitpix, vox_offset: type and place
NIFTI2_FIELDS = (("8q", 16), ("h", 14), ("q", 168))

_images: dict[tuple[Stamp, ...], str] = {}


def file_stamp(file: str | os.PathLike) -> Stamp:
    """Return what changes when a file is another one or is written to: real path, size, both times and inode.

    Raises:
        OSError: When there is no such file.
    """
    stat = os.stat(file)
    return os.path.realpath(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


def file_digest(file: str | os.PathLike | None) -> str | None:
    """Return the SHA-256 of a file; ``None`` where there is none."""
    if file is None or not Path(file).is_file():
        return None
    with open(file, "rb") as stream:
        return _sha256(iter(lambda: stream.read(CHUNK), b""))


def image_digest(files: Files) -> str:
    """Return the SHA-256 of the voxels of an image as they are stored, which tells one image from all others.

    The name of the file, links, copies, compression and the header do not matter. What is not NIfTI is taken whole.
    The digest of a file that stays as it is is computed once.

    Args:
        files: the file, or several, one a channel.

    Raises:
        InputError: When a file cannot be read.
    """
    paths = _paths(files)
    key = tuple(_stamp(path) for path in paths)
    if key not in _images:
        _images[key] = _sha256(chunk for path in paths for chunk in _voxels(path))
    return _images[key]


def voxel_bytes(files: Files) -> int | None:
    """Return how many bytes the voxels of an image take by its header, which is all that is read.

    Two images of different sizes are different images. ``None`` where a file cannot be read or is not NIfTI.
    """
    try:
        sizes = [_size(path) for path in _paths(files)]
    except InputError:
        return None
    return sum(sizes) if all(sizes) else None


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


def _sha256(chunks: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:  # what a damaged gzip raises too
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise InputError(f"image file {path} cannot be read: {reason}.") from error


def _open(path: Path) -> IO[bytes]:
    with open(path, "rb") as stream:
        packed = stream.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path) if packed else open(path, "rb"))


def _stamp(path: Path) -> Stamp:
    with _readable(path):
        return file_stamp(path)


def _size(path: Path) -> int:
    """Bytes of the voxels of a file by its header; 0 where it has none."""
    with _readable(path), _open(path) as stream:
        header = _Header.of(stream.read(HEADER))
    return header.size if header else 0


def _voxels(path: Path) -> Iterator[bytes]:
    """The content of a file from where its voxels begin."""
    with _readable(path), _open(path) as stream:
        start = stream.read(HEADER)
        header = _Header.of(start)
        offset = header.offset if header else 0
        yield start[offset:]
        left = max(0, offset - len(start))
        while left and (passed := len(stream.read(min(left, CHUNK)))):
            left -= passed
        while chunk := stream.read(CHUNK):
            yield chunk


class _Header(NamedTuple):
    """Where the voxels of a NIfTI file begin, and how many bytes they take."""

    offset: int
    size: int

    @classmethod
    def of(cls, start: bytes) -> _Header | None:
        """Read the first bytes of a file; ``None`` when they are no header of NIfTI."""
        for order in "<>":
            length = struct.unpack_from(f"{order}i", start)[0] if len(start) >= NIFTI1 else 0
            if length == 348:
                dims, bits, offset = (struct.unpack_from(f"{order}{f}", start, at) for f, at in NIFTI1_FIELDS)
                return cls._checked(dims, bits[0], offset[0], NIFTI1)
            if length == 540 and len(start) == HEADER:
                dims, bits, offset = (struct.unpack_from(f"{order}{f}", start, at) for f, at in NIFTI2_FIELDS)
                return cls._checked(dims, bits[0], offset[0], HEADER)
        return None

    @classmethod
    def _checked(cls, dims: Sequence[int], bits: int, offset: float, least: int) -> _Header:
        start = max(least, int(offset)) if math.isfinite(offset) else least
        return cls(start, max(0, math.prod(dims[1 : 1 + dims[0]]) * bits // 8))
