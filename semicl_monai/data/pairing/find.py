"""The files of a folder, or of a pattern such as ``"data/*/t1.nii.gz"``."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semicl_monai.data.listing import listing
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import SUFFIXES, is_volume
from semicl_monai.utils.formats.dicom_series import DicomSeries

OTHER_VOLUMES = {
    **dict.fromkeys((".img", ".hdr", ".img.gz"), "Analyze or NIfTI in two files"),
    **dict.fromkeys((".mgz", ".mgh"), "FreeSurfer"),
    ".mnc": "MINC",
    **dict.fromkeys((".nii.bz2", ".nii.zip", ".nii.xz"), "compressed otherwise than by gzip"),
}
OTHER_FORMATS = {
    **OTHER_VOLUMES,
    **dict.fromkeys((".npy", ".npz"), "NumPy"),
    **dict.fromkeys((".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp"), "pictures"),
    ".mat": "MATLAB",
    **dict.fromkeys((".h5", ".hdf5"), "HDF5"),
}


@dataclass(frozen=True)
class FoundFiles:
    """Files of a folder or a pattern.

    Attributes:
        root: the folder.
        files: files in a format of this project, sorted. DICOM files are not among them.
        folders: folders that may hold DICOM series.
        others: files in formats that are not read, and other files that are left out.
        is_pattern: whether a pattern was given.
        unread: volumes in formats that are not read.
    """

    root: Path
    files: tuple[Path, ...]
    folders: tuple[Path, ...]
    others: tuple[str, ...] = field(default=())
    is_pattern: bool = False
    unread: tuple[Path, ...] = ()


def find_files(given: str, option: str) -> FoundFiles:
    """Return the files of a folder and the folders below it, or those that a pattern fits.

    Hidden files and folders are left out. Links are followed, each folder once.

    Args:
        given: a folder, or a pattern of :mod:`glob`; ``**`` stands for any folders.
        option: name of the option, for the error.

    Raises:
        InputError: When there is no such folder, nothing fits the pattern, or an ending is in capital letters.
    """
    path = Path(os.path.abspath(Path(given).expanduser()))
    if path.is_dir():
        files = sorted(walk(path))
        return _found(path, files, (path,), option)
    if not glob.has_magic(given):
        raise InputError(f"--{option} must be a folder or a pattern such as 'data/*/t1.nii.gz', got {given}.")
    fitting = [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]
    folders = tuple(each for each in fitting if each.is_dir())
    files = [each for each in fitting if not each.is_dir()]
    if not files and not folders:
        raise InputError(f"--{option}: no file fits the pattern {given}.")
    below = {file for folder in folders for file in walk(folder)} if not files else set()
    slices = dict.fromkeys(file.parent for file in files if not is_volume(file.name) or _is_slice(file))
    places = tuple(slices) if files else folders
    return _found(_root(path), sorted({*files, *below}), places, option, is_pattern=True)


def _found(
    root: Path, files: list[Path], folders: tuple[Path, ...], option: str, is_pattern: bool = False
) -> FoundFiles:
    volumes = [file for file in files if is_volume(file.name) and not _is_slice(file) and file.exists()]
    wrong = [file.relative_to(root).as_posix() for file in volumes if not file.name.endswith(SUFFIXES)]
    if wrong:
        raise InputError(
            f"--{option}: the endings of files must be in small letters, got {listing(wrong)}: rename them."
        )
    unread = tuple(file for file in files if file.name.lower().endswith(tuple(OTHER_VOLUMES)))
    return FoundFiles(root, tuple(volumes), folders, tuple(_others(root, files)), is_pattern, unread)


def _others(root: Path, files: Sequence[Path]) -> list[str]:
    """Lines on files in formats that are not read, and on links without a file."""
    names = defaultdict(list)
    for file in files:
        found = next((name for ending, name in OTHER_FORMATS.items() if file.name.lower().endswith(ending)), None)
        if found:
            names[found].append(file.relative_to(root).as_posix())
    lost = [file.relative_to(root).as_posix() for file in files if not file.exists()]
    lines = [f"a format that is not read ({name}): {listing(found)}" for name, found in names.items()]
    return lines + ([f"a link that leads nowhere: {listing(lost)}"] if lost else [])


def _is_slice(file: Path) -> bool:
    return file.name.lower().endswith(DicomSeries.suffixes)


def _root(pattern: Path) -> Path:
    """The folders of a pattern before the first that has a wildcard."""
    plain = next((number for number, part in enumerate(pattern.parts) if glob.has_magic(part)), 1)
    return Path(*pattern.parts[:plain])


def walk(root: Path) -> Iterator[Path]:
    """Return the files of a folder and the folders below it, without hidden ones."""
    seen = {os.path.realpath(root)}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != "." and _is_new(Path(folder, name), seen))
        yield from (Path(folder, name) for name in names if name[0] != ".")


def _is_new(folder: Path, seen: set[str]) -> bool:
    """Whether a folder was not seen before, also under another name; a link may lead back up."""
    place = os.path.realpath(folder)
    is_new = place not in seen
    seen.add(place)
    return is_new
