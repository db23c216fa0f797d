"""Masks of DICOM series as DICOM SEG, written by highdicom.

The segmentation is binary and has one segment a class, labelled by the name of the class. Every slice of the series has
a frame for every class, empty ones too: an empty mask is a segmentation of empty frames, and a reader always gets the
whole grid. The frames reference the slices they were made from.
"""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semicl_monai import __version__
from semicl_monai.utils.errors import InputError
from semicl_monai.utils.files import write_whole
from semicl_monai.utils.formats.dicom_files import INSTALL, pydicom
from semicl_monai.utils.nifti import MASK_DESCRIPTION

if TYPE_CHECKING:
    from semicl_monai.utils.formats.dicom_series import DicomSeries

NAME = "semicl-monai"
SERIES_NUMBER = 1000  # after those of a scanner
EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
LONGEST = 64  # letters of a label in DICOM


def write_segmentation(file: Path, series: DicomSeries, mask: np.ndarray, names: Mapping[int, str]) -> None:
    """Write a mask as a DICOM SEG.

    Args:
        file: the file to write.
        series: the image.
        mask: voxels in the grid of the image.
        names: names of the values of the classes.

    Raises:
        InputError: When highdicom is not installed, the series lacks what a SEG needs, or the file cannot be written.
    """
    names = names or {value: f"class {value}" for value in range(1, max(int(mask.max()), 1) + 1)}
    sources, frames = _sources(series, _segment_numbers(series.on_slices(mask), names))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the names of patients
            content = _segmentation(sources, frames, list(names.values()))
    except (AttributeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"a DICOM SEG of {series.file} cannot be made: {reason}") from error
    content.ContentDescription = seg_description(content.PixelData).decode()
    stream = BytesIO()
    content.save_as(stream)
    write_whole(file, stream.getvalue(), "give a writable --output_dir")


def seg_description(pixels: bytes) -> bytes:
    """Return the content description of a SEG of ours; after a correction by hand the text no longer fits."""
    return MASK_DESCRIPTION + f" {zlib.crc32(pixels):08x}".encode()


def _segment_numbers(mask: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    """The mask with 1, 2, ... in the order of the names; DICOM numbers segments so."""
    numbers = np.zeros(mask.shape, np.uint8 if len(names) < 256 else np.uint16)
    for number, value in enumerate(names, 1):
        numbers[mask == value] = number
    return numbers


def _sources(series: DicomSeries, mask: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """Headers of the image and the frames of the mask, in the order that highdicom wants."""
    slices = series.stack.slices
    files = list(dict.fromkeys(each.file for each in slices))
    headers = [pydicom().dcmread(file, stop_before_pixels=True) for file in files]
    for header in headers:
        _complete(header)
    if len(files) == len(slices):
        return headers, mask
    if len(files) > 1:
        raise InputError(f"a DICOM SEG of {series.file} needs one multi-frame file, got {len(files)}.")
    in_file = np.empty_like(mask)
    in_file[[each.index for each in slices]] = mask
    return headers, in_file


def _complete(header: Any) -> None:
    """Fill in what a program that removes names of patients may have deleted, and what a SEG must have."""
    for name in EMPTY:
        if name not in header:
            setattr(header, name, "")
    if not header.get("FrameOfReferenceUID"):
        header.FrameOfReferenceUID = pydicom().uid.generate_uid(entropy_srcs=[header.SeriesInstanceUID])


def import_highdicom() -> Any:
    """Return the module highdicom.

    Raises:
        InputError: When it is not installed.
    """
    try:
        import highdicom  # noqa: PLC0415 # an extra, which only DICOM needs
    except ImportError as error:
        raise InputError(f"a mask of a DICOM series needs highdicom: {INSTALL}.") from error
    if logging.getLogger("highdicom").level == logging.NOTSET:
        logging.getLogger("highdicom").setLevel(logging.WARNING)  # it tells each attribute that it copies
    return highdicom


def _segmentation(sources: list[Any], frames: np.ndarray, names: list[str]) -> Any:
    highdicom = import_highdicom()
    from pydicom.sr.codedict import codes  # noqa: PLC0415

    made_by = highdicom.AlgorithmIdentificationSequence(
        name=NAME, version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    segments = [
        highdicom.seg.SegmentDescription(
            segment_number=number,
            segment_label=name[:LONGEST],
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Tissue,
            algorithm_type="AUTOMATIC",
            algorithm_identification=made_by,
        )
        for number, name in enumerate(names, 1)
    ]
    return highdicom.seg.Segmentation(
        sources,
        frames,
        "BINARY",
        segments,
        series_instance_uid=highdicom.UID(),
        series_number=SERIES_NUMBER,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer=NAME,
        manufacturer_model_name=NAME,
        software_versions=__version__,
        device_serial_number="0",
        omit_empty_frames=False,
        series_description=f"{NAME} segmentation",
    )
