"""Images on disk and their case names."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from semicl_monai.data.listing import listing
from semicl_monai.data.nnunet import CHANNEL, cases_by_channels, image_of
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import SUFFIXES, is_volume, without_suffix

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
    """List the NIfTI images of a folder, for inference.

    Args:
        folder: a folder or one image file. Every ``*.nii`` and ``*.nii.gz`` file of the folder is listed. Subfolders
            and hidden files are left out. A file name in capitals is listed too, so that it is refused later and not
            lost.
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
    if not path.exists():
        raise InputError(f"no such folder or image file: {path}.")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [file for file in files if file.name.lower().endswith(SUFFIXES) and file.name[0] != "."]
    if not images:
        raise InputError(f"no NIfTI image (.nii or .nii.gz) found in {path}.")
    _tell_others(files)
    found = cases_by_channels(images)
    if not all(_is_channel(image, in_channels) for image in images):
        found = {case: files for case, files in found.items() if sorted(files) == list(range(in_channels))}
    records = [{"image": image_of(case, files, in_channels), "case": case} for case, files in found.items()]
    taken = {file for files in found.values() for file in files.values()}
    records += [{"image": str(image), "case": case_name(image)} for image in images if str(image) not in taken]
    records.sort(key=lambda record: image_files(record["image"])[0])
    check_repeated_cases(records)
    return records


def _tell_others(files: Iterable[Path]) -> None:
    """Warn of images in formats that are not read."""
    others = [file.name for file in files if file.name.lower().endswith(OTHER_FORMATS) and file.name[0] != "."]
    if others:
        logger.warning("left out, as they are not NIfTI (.nii or .nii.gz): %s.", listing(others))


def _is_channel(image: Path, in_channels: int) -> bool:
    found = CHANNEL.fullmatch(case_name(image))
    return found is not None and int(found["channel"]) < in_channels
