"""An opened volume of any format."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.nifti import Space, check_affine

logger = logging.getLogger(__name__)
_told: set[str] = set()


class Volume(ABC):
    """An opened volume: its header is read and checked, its voxels are read by :meth:`read`.

    A format of volumes is a subclass. :data:`semicl_monai.utils.formats.FORMATS` finds it by the ending of a file.

    Args:
        file: the file, or the folder of a DICOM series.
        shape: voxels along the three axes, then any other axes. A fourth axis holds the channels.
        affine: matrix from voxels to mm, in RAS+ convention: x grows to the right, y to the front, z to the head.
        header: header of the file, to explain an unexpected affine.

    Attributes:
        segments: names of the segments of a label by their value; ``None`` if the file does not name them.
        nearest: for each slice along the third axis, the slice whose values a label of frames (DICOM SEG) takes there,
            if the files lack some slices; else ``None``.
        remark: what a user should know of the voxels; empty if there is nothing.

    Raises:
        InputError: When there are no voxels, or the affine is not finite or has no inverse.
    """

    format: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    mask_suffix: ClassVar[str]

    def __init__(
        self,
        file: str | os.PathLike[str],
        shape: tuple[int, ...],
        affine: np.ndarray,
        header: Mapping[str, Any] | None = None,
    ) -> None:
        if not shape or 0 in shape:
            raise InputError(f"must have voxels, got the shape {shape}.")
        check_affine(affine)
        self.file, self.shape, self.affine, self.header = Path(file), shape, affine, header or {}
        self.segments: dict[int, str] | None = None
        self.nearest: np.ndarray | None = None
        self.remark = ""

    @property
    def channels(self) -> int:
        """Size of the fourth axis; 1 for three axes."""
        return self.shape[3] if len(self.shape) > 3 else 1

    @property
    def space(self) -> Space:
        """Grid of the voxels."""
        return Space(tuple(self.shape[:3]), self.affine, self.header, str(self.file))

    @classmethod
    @abstractmethod
    def open(cls, file: Path, allow_gaps: bool = False) -> Volume:
        """Open a file and check its header.

        Args:
            file: the file, which exists.
            allow_gaps: whether slices may lie at uneven distances. Only DICOM series can have them.

        Raises:
            InputError: When the header cannot be used.
        """

    @abstractmethod
    def read(self) -> np.ndarray:
        """Return the voxels, of the shape :attr:`shape`."""

    def tell(self) -> None:
        """Log the remark, once a process."""
        text = f"{self.file} {self.remark}"
        if self.remark and text not in _told:
            _told.add(text)
            logger.warning(text)

    def metadata(self) -> dict[str, Any]:
        """Return what :meth:`write_mask` needs to know of the image."""
        return {}

    @classmethod
    def stored_files(cls, file: Path) -> list[Path]:
        """Return all files that hold a volume; a file that cannot be read counts as one file."""
        return [file]

    @classmethod  # noqa: B027 # most formats need nothing
    def check_writable(cls) -> None:
        """Refuse to begin work whose masks could not be written.

        Raises:
            InputError: When a package is missing.
        """

    @classmethod
    def write_mask(
        cls, file: Path, mask: np.ndarray, affine: np.ndarray, image: Mapping[str, Any], names: Mapping[int, str]
    ) -> None:
        """Write a mask with a text that :meth:`is_own_mask` recognises.

        Args:
            file: the file to write. It appears only when it is complete.
            mask: voxels, three axes.
            affine: matrix from its voxels to mm, in RAS+ convention.
            image: metadata of the image, see :meth:`metadata`.
            names: names of the values of the classes; may be empty.

        Raises:
            InputError: When no masks are written in this format.
        """
        raise InputError(f"no mask can be written as {cls.format} to {file}.")

    @classmethod
    def is_own_mask(cls, file: Path) -> bool:
        """Whether a file is a mask of ours that is unchanged since it was written. May raise for a broken file."""
        return False
