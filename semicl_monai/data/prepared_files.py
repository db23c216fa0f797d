"""Prepared volumes on disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from pickle import PicklingError
from typing import Any

import monai
import torch
from joblib.hashing import NumpyHasher
from monai.data import ImageReader, get_track_meta
from monai.transforms import Compose, RandomizableTrait, Transform
from monai.utils import convert_to_tensor

from semicl_monai import __version__
from semicl_monai.utils import InputError, save_tensors

ORIGIN = "made_from"  # key of the hash in a file


# not monai.data.PersistentDataset: a truncated file ends it, a file that is being moved from /tmp can be read half, its
# hashes depend on which equal strings are one object, it reads a whole file for a few slices, and set_data empties
# a folder that others use
class PreparedFiles:
    """What the deterministic transforms make of a record, kept as one file a record and mapped into memory.

    A file is found by a hash of the record's files (path, size, inode, and the times of the last change of the content
    and of the inode, the latter of which no program sets back), of ``case``, and of the deterministic transforms with
    their arguments, so that neither changed data nor changed transforms meet an old file. The hash is in the file too:
    one of another volume under the name of this one is not taken. The transforms get those entries alone that their
    ``keys`` name, and ``case``; what else a record holds, and random transforms, change neither the file nor its name.
    Any number of runs and processes may share a folder. A file appears only once it is complete; one that cannot be
    read, or is another volume's, is made again.

    The tensors keep their dtype and lose their metadata. Only what is used of them is read from disk, and the memory it
    takes is the system's to reclaim.

    Args:
        folder: where the files are; made when it is first written to.
        transform: all transforms; those before the first random one are deterministic.

    Raises:
        InputError: When a deterministic transform holds a function without a name of its own, such as a lambda, by
            which it could not be told from others.
    """

    def __init__(self, folder: str | os.PathLike[str], transform: Compose) -> None:
        self.folder = Path(folder).expanduser()
        self.transform = transform
        self.end = transform.get_index_of_first(
            lambda part: isinstance(part, RandomizableTrait) or not isinstance(part, Transform)
        )
        deterministic = transform.transforms[: self.end]
        self.keys = {"case"}.union(*(getattr(part, "keys", ()) for part in deterministic))
        settings = (transform.lazy, transform.overrides, transform.map_items, transform.unpack_items)
        self.recipe = (monai.__version__, __version__, settings, [_hash_of(part) for part in deterministic])

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the prepared record.

        Args:
            record: an entry may be the path of a file, or a list of them.

        Raises:
            InputError: When the folder cannot be written to.
        """
        used = {key: value for key, value in record.items() if key in self.keys}
        others = {key: value for key, value in record.items() if key not in self.keys}
        origin = self._origin(used)
        file = self.folder / f"{origin}.pt"
        with suppress(Exception):  # not there, or broken: what a broken file makes torch raise is no closed list
            return {**others, **_read(file, origin)}
        _write(self.transform(used, end=self.end, threading=True), file, origin)
        return {**others, **_read(file, origin)}

    def _origin(self, used: Mapping[str, Any]) -> str:
        entries = {key: _stamped(value) for key, value in used.items()}
        return _sha1((self.recipe, get_track_meta(), entries))


# goes by value where pickle goes by identity, and is the same in every process
class _Hasher(NumpyHasher):  # type: ignore[misc]  # joblib has no types
    def save(self, obj: Any) -> None:
        if isinstance(obj, ImageReader):  # NibabelReader remembers what it read last
            obj = (type(obj), {name: value for name, value in vars(obj).items() if name != "filenames"})
        super().save(obj)


def _sha1(content: Any) -> str:
    digest: str = _Hasher("sha1").hash(content)
    return digest


def _hash_of(transform: Transform) -> str:
    try:
        return _sha1(transform)
    except (PicklingError, TypeError, AttributeError) as error:
        name = type(transform).__name__
        raise InputError(
            f"cache_dir cannot tell this {name} from another one: give it named functions of a module, or leave it out."
        ) from error


def _stamped(entry: Any) -> Any:
    """A path with what changes when its file does; anything else as it is."""
    if isinstance(entry, (list, tuple)):
        return [_stamped(part) for part in entry]
    if not isinstance(entry, (str, os.PathLike)):
        return entry
    path = Path(entry).expanduser().absolute()
    if not path.is_file():
        return str(entry)
    stat = path.stat()
    # cp -p, rsync -t and touch -d set the size and the time of a file to those of another one, not ctime and inode
    return [str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read(file: Path, origin: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, mmap=True, weights_only=True)
    if content.pop(ORIGIN) != origin:
        raise ValueError(f"{file} was made of other files or in another way.")
    return content


def _write(prepared: Mapping[str, Any], file: Path, origin: str) -> None:
    plain = convert_to_tensor(dict(prepared), convert_numeric=False, track_meta=False)
    # cloned, as all that a tensor is a view of would be saved
    own = {key: value.clone() if torch.is_tensor(value) else value for key, value in plain.items()}
    save_tensors({**own, ORIGIN: origin}, file, "give a writable --cache_dir")
