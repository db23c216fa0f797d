"""Volumes of any format: one class a format, found by the ending of a file.

All stages open images and labels by :func:`open_volume`. A new format is a subclass of :class:`Volume` in
:data:`FORMATS`.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.formats.dicom_files import FoundSeries, find_series, is_dicom_file, left_out_line
from semicl_monai.utils.formats.dicom_series import DicomSeries
from semicl_monai.utils.formats.meta_image import MetaImage
from semicl_monai.utils.formats.nifti_volume import NiftiVolume
from semicl_monai.utils.formats.nrrd_volume import NrrdVolume
from semicl_monai.utils.formats.segments import class_numbers, into_grid, is_on_lattice
from semicl_monai.utils.formats.volume import Volume
from semicl_monai.utils.nifti import AFFINE_TOLERANCE, Space

# .seg.nrrd before .nrrd: the first ending that fits is the ending of a file
FORMATS: dict[str, type[Volume]] = {
    suffix: format for format in (NiftiVolume, NrrdVolume, MetaImage, DicomSeries) for suffix in format.suffixes
}
SUFFIXES = tuple(FORMATS)
SEGMENTATION_SUFFIXES = (".seg.nrrd",)  # files that are never images
WANTED = "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), in small letters, or a DICOM series"

__all__ = [
    "FORMATS",
    "SEGMENTATION_SUFFIXES",
    "SUFFIXES",
    "WANTED",
    "FoundSeries",
    "Volume",
    "class_numbers",
    "find_series",
    "format_name",
    "format_of",
    "into_grid",
    "is_dicom_file",
    "is_of_frames",
    "is_volume",
    "left_out_line",
    "mask_suffix",
    "may_be_moved",
    "open_volume",
    "stored_files",
    "without_suffix",
]


def format_of(file: str | os.PathLike[str]) -> type[Volume] | None:
    """Return the format of a file by its name; ``None`` for an unknown one.

    A folder, and a file of another name that begins like DICOM, are DICOM series.
    """
    name = os.fspath(file)
    found = next((FORMATS[suffix] for suffix in SUFFIXES if name.endswith(suffix)), None)
    return found or (DicomSeries if name and (os.path.isdir(name) or is_dicom_file(name)) else None)


def format_name(file: str | os.PathLike[str]) -> str:
    """Return the name of the format of a file, for messages."""
    found = format_of(file)
    return found.format if found else "a volume"


def is_volume(name: str) -> bool:
    """Whether a file is named like a volume, in any case of letters.

    Example:
        >>> [is_volume(name) for name in ("a.nii.gz", "a.MHA", "a.json")]
        [True, True, False]
    """
    return name.lower().endswith(SUFFIXES)


def without_suffix(name: str) -> str:
    """Return the name or path of a file without the ending of its format.

    Example:
        >>> without_suffix("imagesTr/hippocampus_003.nii.gz"), without_suffix("heart.seg.nrrd")
        ('imagesTr/hippocampus_003', 'heart')
    """
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def open_volume(file: str | os.PathLike[str], allow_gaps: bool = False) -> Volume:
    """Open a volume of any format and check its header.

    Args:
        file: the file, or the folder of a DICOM series.
        allow_gaps: whether the slices of a DICOM series may lie at uneven distances.

    Raises:
        InputError: When the file is missing, is of no known format, or its header cannot be used. The message does not
            name the file, see :func:`semicl_monai.utils.nifti.naming`.
    """
    path = Path(file).expanduser()
    if not path.exists():
        raise InputError("is not there.")
    found = format_of(path)
    if found is None:
        raise InputError(f"must be {WANTED}.")
    return found.open(path, allow_gaps)


def stored_files(file: str | os.PathLike[str]) -> list[Path]:
    """Return all files that hold a volume; nothing is raised for a missing or broken one."""
    found, path = format_of(file), Path(file)
    return found.stored_files(path) if found else [path]


def mask_suffix(image: str | os.PathLike[str]) -> str:
    """Return the ending of the mask of an image; masks of images of an unknown format are NIfTI.

    Example:
        >>> mask_suffix("a.nii"), mask_suffix("b.nhdr")
        ('.nii.gz', '.nrrd')
    """
    return (format_of(image) or NiftiVolume).mask_suffix


def is_of_frames(label: str | os.PathLike[str], named: bool) -> bool:
    """Whether a label is a DICOM SEG, which has frames only for slices that exist."""
    return named and format_of(label) is DicomSeries


def may_be_moved(label: Space, image: Space, named: bool) -> bool:
    """Whether a label has another grid than its image, and may be put into it by :func:`into_grid`.

    A label of the format of its image must have its grid. The label of named segments, and a label in another format,
    may have another grid on the same lattice: 3D Slicer saves a box, and programs turn axes when they convert DICOM.

    Args:
        label: space of the label.
        image: space of the image.
        named: whether the label has named segments.
    """
    if not named and format_of(label.file) is format_of(image.file):
        return False
    same = label.shape == image.shape and np.allclose(label.affine, image.affine, rtol=0, atol=AFFINE_TOLERANCE)
    return not same and is_on_lattice(label, image)
