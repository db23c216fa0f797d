"""DICOM series as volumes, read by pydicom; their masks are DICOM SEG.

An image is the folder of a series. In a folder of several series, an image is any file of the series. What is left out
of a folder stands in :mod:`semicl_monai.utils.formats.dicom_files`. The rules are:

* Slices are sorted by their position along the normal of the slices, not by number or name. Voxels are counted by
  column, row and slice. ``PixelSpacing`` gives the distance of rows first, then that of columns.
* Each slice has its own slope and intercept. ``MONOCHROME1`` only says how to show values, so it changes none;
  ITK inverts them.
* **Gantry tilt**: if each slice is shifted against the one before, the affine is sheared. It is kept; resampling to a
  spacing takes the shear out, and its inverse puts it back.
* **Gaps**: if distances differ from their (lower) median by more than 1 % and 0.01 mm, the series is refused. With
  ``allow_gaps`` the slices are interpolated linearly to an even grid from the first slice to the last, at about the
  median distance. Missing slices are thus filled, and the slices that exist keep their values. A mask goes back to
  the slices that exist, each from the nearest slice of the grid. A label must lie in the even grid, or be a
  DICOM SEG, whose nearest slice is taken.
* Slices at the same place (echoes, time points), slices of several orientations, sizes or spacings, and slices beside
  the line through the others are refused.
* Enhanced multi-frame CT and MR are read frame by frame, by the same rules.
* Compressed files need the packages that pydicom names. RLE needs none.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.formats.dicom_files import pydicom, series_of
from semicl_monai.utils.formats.dicom_labels import DicomSegmentation, is_segmentation
from semicl_monai.utils.formats.dicom_seg import import_highdicom, seg_description, write_segmentation
from semicl_monai.utils.formats.dicom_slices import Slice, Stack, slices_of, stack
from semicl_monai.utils.formats.volume import Volume
from semicl_monai.utils.nifti import MASK_DESCRIPTION

NEAREST = "nearest_slices"  # key in the metadata of an image
DECODERS = "pip install pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg"


class DicomSeries(Volume):
    """A DICOM series, by the rules of this module.

    Attributes:
        stack: its slices and their grid.
        first_header: header of its first file.
    """

    format, suffixes, mask_suffix = "DICOM", (".dcm",), ".dcm"
    stack: Stack

    @classmethod
    def open(cls, file: Path, allow_gaps: bool = False) -> Volume:
        """Read the headers of a series and check them; a DICOM SEG is opened as such."""
        if is_segmentation(file):
            return DicomSegmentation.open(file)
        return cls.of(file, allow_gaps)

    @classmethod
    def of(cls, file: Path, allow_gaps: bool = False) -> DicomSeries:
        """Read the headers of a series and check them."""
        series = series_of(file)
        pairs = zip(series.files, series.headers, strict=True)
        found = stack([each for part, header in pairs for each in slices_of(part, header)])
        if found.gaps and not allow_gaps:
            raise InputError(
                f"must have slices at even distances, got {found.gaps}; --allow_gaps true interpolates them."
            )
        rows, columns = found.slices[0].shape
        volume = cls(file, (columns, rows, found.depth), found.affine)
        volume.stack = found
        volume.nearest = _nearest(found) if found.gaps else None
        volume.remark = f"has {found.gaps}: interpolated to {found.depth} slices." if found.gaps else ""
        return volume

    def read(self) -> np.ndarray:
        """Return the voxels as float32, ``(columns, rows, slices)``, interpolated across gaps."""
        planes = np.empty((len(self.stack.slices), *self.shape[1::-1]), np.float32)
        by_file = sorted(enumerate(self.stack.slices), key=lambda pair: (str(pair[1].file), pair[1].index))
        for file, pairs in groupby(by_file, key=lambda pair: pair[1].file):
            stored = _pixels(file)
            for number, each in pairs:
                planes[number] = _intensities(stored, each)
        if self.stack.gaps:
            planes = _interpolated(planes, self.stack)
        return planes.transpose(2, 1, 0)

    def metadata(self) -> dict[str, Any]:
        """Return the nearest slices where there are gaps."""
        return {} if self.nearest is None else {NEAREST: self.nearest}

    def on_slices(self, mask: np.ndarray) -> np.ndarray:
        """Return a mask on the slices that exist, ``(slices, rows, columns)``, each from the nearest of the grid."""
        nearest = np.rint(self.stack.places).astype(int)
        frames: np.ndarray = mask.transpose(2, 1, 0)[nearest]
        return frames

    @classmethod
    def stored_files(cls, file: Path) -> list[Path]:
        """Return the files of the series; all files of a folder that is no series."""
        try:
            return list(series_of(file).files)
        except Exception:  # a broken file is refused when it is opened
            return sorted(part for part in file.iterdir() if part.is_file()) if file.is_dir() else [file]

    @classmethod
    def check_writable(cls) -> None:
        """Refuse to begin without highdicom, which writes the masks."""
        import_highdicom()

    @classmethod
    def write_mask(
        cls, file: Path, mask: np.ndarray, affine: np.ndarray, image: Mapping[str, Any], names: Mapping[int, str]
    ) -> None:
        """Write a DICOM SEG, see :mod:`semicl_monai.utils.formats.dicom_seg`."""
        series = cls.of(Path(image["filename_or_obj"]), allow_gaps=True)
        if mask.shape != series.shape or not np.allclose(affine, series.affine, rtol=0, atol=1e-3):
            raise InputError(f"mask of {series.file} must lie in the grid {series.shape}, got {mask.shape}.")
        write_segmentation(file, series, mask, names)

    @classmethod
    def is_own_mask(cls, file: Path) -> bool:
        """Whether the content description of a SEG fits its pixels."""
        content = pydicom().dcmread(file)
        says = str(content.get("ContentDescription", "")).encode()
        return says.startswith(MASK_DESCRIPTION) and says == seg_description(content.PixelData)


def _nearest(stack: Stack) -> np.ndarray:
    """For each slice of the grid, the one in which the nearest slice that exists lies."""
    wanted = np.arange(stack.depth)
    found = abs(wanted[:, None] - stack.places[None]).argmin(1)
    nearest: np.ndarray = np.rint(stack.places).astype(int)[found]
    return nearest


def _pixels(file: Path) -> np.ndarray:
    """Stored values of a file, ``(frames, rows, columns)``."""
    content = pydicom().dcmread(file)
    try:
        stored: np.ndarray = content.pixel_array
    except Exception as error:  # a broken file or a missing decoder can make pydicom raise anything
        syntax = content.file_meta.TransferSyntaxUID
        reason = " ".join(str(error).split())[:200]
        if syntax.is_compressed and isinstance(error, RuntimeError | NotImplementedError):
            raise InputError(
                f"holds {file.name}, compressed as {syntax.name}, which needs further packages: {DECODERS}."
            ) from error
        raise InputError(f"holds {file.name}, whose pixels cannot be read: {reason}.") from error
    return stored if stored.ndim == 3 else stored[None]


def _intensities(stored: np.ndarray, each: Slice) -> np.ndarray:
    if stored.shape[1:] != each.shape or each.index >= len(stored):
        raise InputError(f"must hold {each.shape} pixels in {each.name}, got {stored.shape[1:]}.")
    values: np.ndarray = stored[each.index] * np.float64(each.slope) + each.intercept
    return values


def _interpolated(planes: np.ndarray, stack: Stack) -> np.ndarray:
    """Planes at even places, each a weighted mean of the slices on its two sides."""
    wanted = np.arange(stack.depth)
    after = np.clip(np.searchsorted(stack.places, wanted), 1, len(planes) - 1)
    low, high = stack.places[after - 1], stack.places[after]
    share = np.clip((wanted - low) / (high - low), 0, 1).astype(np.float32)[:, None, None]
    even: np.ndarray = planes[after - 1] * (1 - share) + planes[after] * share
    return even
