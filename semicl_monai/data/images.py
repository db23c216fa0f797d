"""Images on disk and their case names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from semicl_monai.utils import InputError

NIFTI_SUFFIXES = (".nii", ".nii.gz")


def case_name(file: str | os.PathLike) -> str:
    """File name without ``.nii`` or ``.nii.gz``.

    Example:
        >>> case_name("imagesTr/hippocampus_003.nii.gz")
        'hippocampus_003'
    """
    return Path(file).name.removesuffix(".gz").removesuffix(".nii")


def refuse_repeated_cases(images: Iterable[str]) -> None:
    """Raise :class:`~semicl_monai.utils.InputError` when two image files have the same case name."""
    seen: dict[str, str] = {}
    for image in images:
        case = case_name(image)
        if case in seen:
            raise InputError(f"case names must differ, got '{case}' for {seen[case]} and {image}.")
        seen[case] = image


def list_images(folder: str | os.PathLike) -> list[dict[str, str]]:
    """List the NIfTI images of a folder, for inference.

    Args:
        folder: a folder, of which every ``*.nii`` and ``*.nii.gz`` is taken (not those of its subfolders, no hidden
            files), or one such file.

    Returns:
        One ``{"image": path, "case": name}`` for each image, sorted by file name.

    Raises:
        InputError: When there is no such folder or file, no image in it, or two images of one case name.
    """
    path = Path(os.path.abspath(Path(folder).expanduser()))
    if not path.exists():
        raise InputError(f"no such folder or image file: {path}.")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    images = [str(file) for file in files if file.name.endswith(NIFTI_SUFFIXES) and file.name[0] != "."]
    if not images:
        raise InputError(f"no NIfTI image (.nii or .nii.gz) found in {path}.")
    refuse_repeated_cases(images)
    return [{"image": image, "case": case_name(image)} for image in images]


def studies_beside(records: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """List all images in the folders of those that were named.

    MONAI Label names the labelled studies alone; the others lie beside them.

    Args:
        records: ``{"image": path, ...}`` of at least one image.

    Returns:
        One ``{"image": path, "case": name}`` for each image, see :func:`list_images`.

    Raises:
        InputError: When no image was named.
    """
    folders = dict.fromkeys(Path(record["image"]).parent for record in records)
    if not folders:
        raise InputError(
            "the studies are found beside the labelled ones: wanted at least one labelled study, got none."
        )
    return [image for folder in folders for image in list_images(folder)]
