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
from monai.transforms import Compose, Transform
from monai.utils import convert_to_tensor

from semicl_monai import __version__
from semicl_monai.data.compact_volumes import axis_of_planes, count_deterministic
from semicl_monai.utils import InputError, planes_in_one_piece, save_tensors
from semicl_monai.utils.formats import stored_files

ORIGIN = "made_from"  # key of the hash in a file


# Not monai.data.PersistentDataset, for five reasons. It fails on a truncated file. It can read half of a file that is
# being moved from /tmp. Its hashes depend on whether equal strings are one object or several. It reads a whole file for
# a few slices. Its set_data empties a folder that others use.
class PreparedFiles:
    """The output of the deterministic transforms, kept as one file per record and mapped into memory.

    The name of a file is a hash of three things:

    * the record's files, with detached data and all files of a DICOM series: path, size, inode and two times. One is
      that of the last change of the content (mtime). The other is that of the last change of the inode (ctime). No
      program can set back the ctime.
    * ``case``.
    * the deterministic transforms with their arguments.

    If the data or the transforms change, the hash changes and the old file is not used. The hash is in the file too, so
    that a renamed file of another volume is not used. The transforms get only ``case`` and the entries that their
    ``keys`` name. Other entries of a record and random transforms change neither the file nor its name. Any number of
    runs and processes may share a folder. A file appears only when it is complete. A file that cannot be read, or that
    belongs to another volume, is made again.

    The tensors lose their metadata. Only the parts that are used are read from disk. If the first random transform
    takes whole planes, see :class:`semicl_monai.utils.KeptVolumeTrait`, each plane lies in one piece in a file. The
    operating system can reclaim their memory.

    Args:
        folder: folder of the files. It is made when the first file is written.
        transform: all transforms. The transforms before the first random one are deterministic.

    Raises:
        InputError: When a deterministic transform holds a function without a name of its own, such as a lambda. Such a
            transform cannot be distinguished from others.
    """

    def __init__(self, folder: str | os.PathLike[str], transform: Compose) -> None:
        self.folder = Path(folder).expanduser()
        self.transform = transform
        self.end = count_deterministic(transform)
        deterministic = transform.transforms[: self.end]
        self.axis = axis_of_planes(transform)  # not part of the hash: it changes how fast a file is read, but no value
        self.keys = {"case"}.union(*(getattr(part, "keys", ()) for part in deterministic))
        settings = (transform.lazy, transform.overrides, transform.map_items, transform.unpack_items)
        self.recipe = (monai.__version__, __version__, settings, [_hash_of(part) for part in deterministic])

    def __call__(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the prepared record.

        Args:
            record: the record; an entry may be the path of a file, or a list of paths.

        Raises:
            InputError: When the folder cannot be written to.
        """
        used = {key: value for key, value in record.items() if key in self.keys}
        others = {key: value for key, value in record.items() if key not in self.keys}
        origin = self._origin(used)
        file = self.folder / f"{origin}.pt"
        with suppress(Exception):  # missing or broken: a broken file can make torch raise anything
            return {**others, **_read(file, origin)}
        prepared = convert_to_tensor(
            self.transform(used, end=self.end, threading=True), convert_numeric=False, track_meta=False
        )
        _write(planes_in_one_piece(prepared, self.axis), file, origin)
        return {**others, **_read(file, origin)}

    def _origin(self, used: Mapping[str, Any]) -> str:
        entries = {key: _stamped(value) for key, value in used.items()}
        return _sha1((self.recipe, get_track_meta(), entries))


# compares objects by value, where pickle compares them by identity; the hash is the same in every process
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
            f"cache_dir cannot tell this {name} from another one: give it named functions of a module, or leave "
            "cache_dir out."
        ) from error


def _stamped(entry: Any) -> Any:
    """A path with the size, times and inode of its files; other entries are returned unchanged."""
    if isinstance(entry, (list, tuple)):
        return [_stamped(part) for part in entry]
    if not isinstance(entry, (str, os.PathLike)):
        return entry
    path = Path(entry).expanduser().absolute()
    if not path.exists():
        return str(entry)
    files = stored_files(path)
    stamps = [_stamp(file) for file in files if file.is_file()]
    return stamps[0] if files == [path] and stamps else [str(path), *stamps]


def _stamp(file: Path) -> list[Any]:
    stat = file.stat()
    # cp -p, rsync -t and touch -d can give a file the size and the mtime of another file, but not its ctime and inode
    return [str(file), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def _read(file: Path, origin: str) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(file, mmap=True, weights_only=True)
    if content.pop(ORIGIN) != origin:
        raise ValueError(f"{file} was made of other files or in another way.")
    return content


def _write(prepared: Mapping[str, Any], file: Path, origin: str) -> None:
    # cloned: for a view, torch would save the whole tensor behind it
    own = {key: value.clone() if torch.is_tensor(value) else value for key, value in prepared.items()}
    save_tensors({**own, ORIGIN: origin}, file, "give a writable --cache_dir")
