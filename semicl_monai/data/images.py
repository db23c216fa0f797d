"""Images on disk and their case names."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semicl_monai.data.listing import listing
from semicl_monai.data.nnunet import CHANNEL, cases_by_channels, image_of
from semicl_monai.data.pairing.cases import name_cases
from semicl_monai.data.pairing.named_file import read_name
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import (
    SEGMENTATION_SUFFIXES,
    WANTED,
    find_series,
    format_of,
    is_volume,
    left_out_line,
    without_suffix,
)
from semicl_monai.utils.formats.dicom_series import DicomSeries

logger = logging.getLogger(__name__)

OTHER_FORMATS = (".img", ".mgz", ".mnc")


def case_name(image: str | os.PathLike[str] | Sequence[str]) -> str:
    """File name without the ending of its format; if each channel has its own file, also without ``_0000``.

    Example:
        >>> case_name("imagesTr/hippocampus_003.nii.gz")
        'hippocampus_003'
        >>> case_name(["imagesTr/BRATS_001_0000.nii.gz", "imagesTr/BRATS_001_0001.nii.gz"])
        'BRATS_001'
    """
    if not isinstance(image, str | os.PathLike):
        return case_name(image[0]).removesuffix("_0000")
    return without_suffix(Path(image).name)


def image_files(image: str | Sequence[str]) -> list[str]:
    """Return the files of an image: one file, or one file per channel."""
    return [image] if isinstance(image, str) else list(image)


def case_of(record: Mapping[str, Any]) -> str:
    """Return the ``case`` of a record, or the name of its image if a client has given no ``case``."""
    return record.get("case") or case_name(record["image"])


def check_repeated_cases(records: Iterable[Mapping[str, Any]]) -> None:
    """Raise :class:`~semicl_monai.utils.InputError` when two records have the same ``case``."""
    seen: dict[str, str] = {}
    for record in records:
        case, image = record["case"], image_files(record["image"])[0]
        if case in seen:
            raise InputError(f"case names must differ, got '{case}' for {seen[case]} and {image}.")
        seen[case] = image


def list_images(folder: str | os.PathLike[str], in_channels: int = 1) -> list[dict[str, Any]]:
    """List the images of a folder, for inference.

    Args:
        folder: a folder, one image file, the folder of a DICOM series, or a pattern of :mod:`glob` such as
            ``"data/**/*_T1w.nii.gz"``. Every file of the folder in a format of :mod:`semicl_monai.utils.formats` is
            listed, and every DICOM series in it and in its subfolders. Other files of subfolders, hidden files and
            segmentations (``.seg.nrrd``) are left out. A file name in capitals is listed too, so that it is refused
            later and not lost. If files of a pattern have equal names, their cases are called by their folders.
        in_channels: number of channels of an image. A file named like nnU-Net's ``case_0000.nii.gz`` is one channel.
            ``in_channels`` such files make one image. If the folder also has files of other names, a number like
            ``_0000`` may count scans and not channels. Then files are channels only if a case has exactly the channels
            0 to ``in_channels - 1``. Each other file is an image.

    Returns:
        One ``{"image": path, "case": name}`` for each image, sorted by file name. If each channel has its own file,
        the path is a list of paths.

    Raises:
        InputError: When the folder or file does not exist, it has no image, two images have the same case name, or a
            channel is missing.
    """
    path = Path(os.path.abspath(Path(folder).expanduser()))
    files = _files(path)
    images = [file for file in files if _is_image(file)]
    series = _series(path, bool(images))
    if not images and not series:
        raise InputError(f"no image found in {path}: wanted {WANTED}{_hint(path)}.")
    _tell_others(files)
    found = cases_by_channels(images)
    if not all(_is_channel(image, in_channels) for image in images):
        found = {case: files for case, files in found.items() if sorted(files) == list(range(in_channels))}
    records = [{"image": image_of(case, files, in_channels), "case": case} for case, files in found.items()]
    taken = {file for files in found.values() for file in files.values()}
    records += [{"image": str(image), "case": case_name(image)} for image in images if str(image) not in taken]
    records += series
    records.sort(key=lambda record: image_files(record["image"])[0])
    if glob.has_magic(str(path)) and not path.exists():
        records = _named_by_folders(records)
    check_repeated_cases(records)
    return records


def _named_by_folders(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, with folders in the case names if these repeat."""
    if len({record["case"] for record in records}) == len(records):
        return records
    files = [image_files(record["image"])[0] for record in records]
    root = os.path.commonpath([os.path.dirname(file) for file in files])
    cases = name_cases([[read_name(file, os.path.relpath(file, root))] for file in files])
    return [{**record, "case": case} for record, case in zip(records, cases, strict=True)]


def _files(path: Path) -> list[Path]:
    """The files of a folder, the file itself, or the files that a pattern fits."""
    if path.is_dir():
        return sorted(path.iterdir())
    if path.exists():
        return [path]
    if not glob.has_magic(str(path)):
        raise InputError(f"no such folder or image file: {path}.")
    return [Path(name) for name in sorted(glob.glob(str(path), recursive=True))]


def _hint(path: Path) -> str:
    """What to do about images in the folders below."""
    below = next((file for file in sorted(path.rglob("*")) if _is_image(file)), None) if path.is_dir() else None
    if below is None:
        return ""
    return f"; the folders below hold images, such as {below.relative_to(path)}: give a pattern such as '{path}/**/*'"


def _is_image(file: Path) -> bool:
    """Whether a file is named like an image; DICOM files are found by their series."""
    name = file.name.lower()
    others = (*SEGMENTATION_SUFFIXES, *DicomSeries.suffixes)
    return is_volume(name) and not name.endswith(others) and name[0] != "." and not file.is_dir()


def _series(path: Path, has_others: bool) -> list[dict[str, Any]]:
    """The DICOM series of a folder and of those below it, or the series of a file."""
    if not path.is_dir():
        return [{"image": str(path), "case": case_name(path)}] if format_of(path) is DicomSeries else []
    try:
        found, left_out = find_series(path)
    except InputError as error:  # pydicom is missing
        if not has_others:
            raise InputError(f"{path} {error}") from error
        logger.warning("left out, as %s %s", path, error)
        return []
    if left_out:
        logger.warning(left_out_line(left_out))
    return [{"image": str(series.image), "case": series.case} for series in found]


def _tell_others(files: Iterable[Path]) -> None:
    """Warn of images in formats that are not read, and of segmentations."""
    names = [file.name for file in files if file.name[0] != "." and file.is_file()]
    others = [name for name in names if name.lower().endswith(OTHER_FORMATS)]
    if others:
        logger.warning("left out, as their format is not read: %s; wanted %s.", listing(others), WANTED)
    labels = [name for name in names if name.lower().endswith(SEGMENTATION_SUFFIXES)]
    if labels:
        logger.warning("left out, as they are segmentations: %s.", listing(labels))


def _is_channel(image: Path, in_channels: int) -> bool:
    found = CHANNEL.fullmatch(case_name(image))
    return found is not None and int(found["channel"]) < in_channels
