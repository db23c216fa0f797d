"""DICOM SEG as labels of named segments, read by pydicom.

Segments are read by their labels, see :mod:`semicl_monai.utils.formats.segments`. Slices without a frame are
background, as programs leave out empty frames. Slices that the image itself lacks take the label of the nearest slice.
Segments that overlap, and segmentations in fractions, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.formats.dicom_files import pydicom
from semicl_monai.utils.formats.dicom_slices import Slice, Stack, slices_of, stack
from semicl_monai.utils.formats.volume import Volume

SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segmentation, label map
WHOLE = 0.05  # share of a distance by which a slice may lie beside its place
DIGITS = 3  # of the height of a slice, in mm


class DicomSegmentation(Volume):
    """A DICOM SEG, by the rules of this module.

    Attributes:
        frames: segment and place of each frame; the segment is ``None`` in a label map.
    """

    format, suffixes, mask_suffix = "DICOM SEG", (), ".dcm"
    frames: list[tuple[int | None, int]]

    @classmethod
    def open(cls, file: Path, allow_gaps: bool = False) -> DicomSegmentation:
        """Open a SEG and check its header."""
        header = pydicom().dcmread(file, stop_before_pixels=True)
        if header.get("SegmentationType") == "FRACTIONAL":
            raise InputError("must be a binary segmentation, got fractions.")
        slices = list(slices_of(file, header))
        heights = [round(float(each.position @ slices[0].normal), DIGITS) for each in slices]
        found = _stack(list(dict(zip(heights, slices, strict=True)).values()))
        rows, columns = slices[0].shape
        volume = cls(file, (columns, rows, found.depth), found.affine)
        places = {round(float(each.position @ each.normal), DIGITS): place for each, place in _places(found)}
        volume.frames = list(zip(_numbers(header), [places[height] for height in heights], strict=True))
        volume.segments = {int(each.SegmentNumber): str(each.SegmentLabel).strip() for each in header.SegmentSequence}
        return volume

    def read(self) -> np.ndarray:
        """Return the number of the segment of each voxel, ``(columns, rows, slices)``.

        Raises:
            InputError: When segments overlap.
        """
        pixels = np.atleast_3d(pydicom().dcmread(self.file).pixel_array)
        pixels = pixels.reshape(-1, *self.shape[1::-1])
        numbers = np.zeros(self.shape[::-1], np.uint16)
        for (segment, place), frame in zip(self.frames, pixels, strict=True):
            inside = frame > 0
            if (numbers[place][inside] > 0).any():
                raise InputError(f"must be a segmentation without overlaps, got two segments at slice {place}.")
            numbers[place][inside] = frame[inside] if segment is None else segment
        return numbers.transpose(2, 1, 0)


def is_segmentation(file: Path) -> bool:
    """Whether a file is a DICOM SEG."""
    if file.is_dir():
        return False
    header = pydicom().dcmread(file, stop_before_pixels=True, specific_tags=["SOPClassUID"])
    return str(header.get("SOPClassUID", "")) in SEGMENTATION


def _stack(slices: Sequence[Slice]) -> Stack:
    """The grid of slices, some of which may be left out: by the distance that the file gives, or the smallest."""
    for distance in (slices[0].thickness or None, None):
        found = stack(slices, distance)
        if abs(found.places - np.rint(found.places)).max() <= WHOLE:
            return found
    raise InputError(f"must have frames at even distances, got {found.gaps}.")


def _places(found: Stack) -> Iterator[tuple[Slice, int]]:
    yield from zip(found.slices, np.rint(found.places).astype(int).tolist(), strict=True)


def _numbers(header: Any) -> list[int | None]:
    """The segment of each frame."""
    frames = header.PerFrameFunctionalGroupsSequence
    if header.get("SegmentationType") == "LABELMAP":
        return [None] * len(frames)
    return [_number([frame, *header.get("SharedFunctionalGroupsSequence", [])]) for frame in frames]


def _number(groups: Sequence[Any]) -> int:
    found = next(group for group in groups if "SegmentIdentificationSequence" in group)
    return int(found.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
