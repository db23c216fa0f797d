"""MetaImage files (``.mha``, ``.mhd``) as volumes, read and written by SimpleITK.

SimpleITK is ITK's own reader of this format, which ITK defines, in one package without dependencies. ``itk`` reads the
same files with five packages of several times the size.

* ``TransformMatrix`` (or ``Rotation``, ``Orientation``) and ``Offset`` (or ``Position``, ``Origin``) are in
  left-posterior-superior coordinates. ``AnatomicalOrientation`` only describes them and is not used, as in ITK.
* ``ElementNumberOfChannels`` above 1, or a fourth axis, are the channels.
* Axes that are not at right angles are kept as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.files import writing
from semicl_monai.utils.formats.volume import Volume
from semicl_monai.utils.nifti import MASK_DESCRIPTION, mask_description

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
OURS = "semicl_monai"  # key in the header; SimpleITK does not read "Comment" back


class MetaImage(Volume):
    """A MetaImage file, by the rules of this module."""

    format, suffixes, mask_suffix = "MetaImage", (".mha", ".mhd"), ".mha"

    @classmethod
    def open(cls, file: Path, allow_gaps: bool = False) -> MetaImage:
        """Open a MetaImage file and check its header."""
        for part in cls.stored_files(file):
            if not part.is_file():
                raise InputError(f"names the data file {part}, which is not there.")
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(file))
        reader.ReadImageInformation()
        shape, channels = tuple(reader.GetSize()), reader.GetNumberOfComponents()
        kind = sitk.GetPixelIDValueAsString(reader.GetPixelID())
        if "complex" in kind:
            raise InputError(f"must hold one real number a voxel, got {kind}.")
        if len(shape) not in (3, 4) or (len(shape) == 4 and channels > 1):
            raise InputError(f"must be 3-D, got the shape {(*shape, channels) if channels > 1 else shape}.")
        return cls(file, (*shape, channels) if channels > 1 else shape, _affine(reader, len(shape)))

    def read(self) -> np.ndarray:
        """Return the voxels, with the channels last."""
        # (z, y, x), then components; or (t, z, y, x)
        voxels = sitk.GetArrayFromImage(sitk.ReadImage(str(self.file), imageIO="MetaImageIO"))
        axes = (2, 1, 0, 3) if len(self.shape) == 4 and voxels.shape[:3] == self.shape[2::-1] else None
        return voxels.transpose(axes)

    @classmethod
    def stored_files(cls, file: Path) -> list[Path]:
        """Return the file, or a header with its data files."""
        try:
            return list(dict.fromkeys([file, *(file.parent / name for name in _data_files(file))]))
        except Exception:  # a broken header is refused when it is opened
            return [file]

    @classmethod
    def write_mask(
        cls, file: Path, mask: np.ndarray, affine: np.ndarray, image: Mapping[str, Any], names: Mapping[int, str]
    ) -> None:
        """Write a mask, compressed.

        Raises:
            InputError: When the file cannot be written.
        """
        content = sitk.GetImageFromArray(np.ascontiguousarray(mask.T))
        in_lps = LPS_TO_RAS @ affine
        spacing = np.linalg.norm(in_lps[:3, :3], axis=0)
        content.SetSpacing(spacing.tolist())
        content.SetDirection((in_lps[:3, :3] / spacing).ravel().tolist())
        content.SetOrigin(in_lps[:3, 3].tolist())
        content.SetMetaData(OURS, mask_description(mask).decode())
        with writing(file, "give a writable --output_dir", ".mha") as draft:
            sitk.WriteImage(content, str(draft), useCompression=True, compressionLevel=1)

    @classmethod
    def is_own_mask(cls, file: Path) -> bool:
        """Whether the text in the header fits the voxels."""
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(file))
        reader.ReadImageInformation()
        says = reader.GetMetaData(OURS).encode() if reader.HasMetaDataKey(OURS) else b""
        return says.startswith(MASK_DESCRIPTION) and says == mask_description(cls.open(file).read())


def _affine(reader: sitk.ImageFileReader, dimension: int) -> np.ndarray:
    """The matrix of the first three axes, from voxels to mm in RAS+."""
    direction = np.reshape(reader.GetDirection(), (dimension, dimension))
    affine = np.eye(4)
    affine[:3, :3] = (direction * reader.GetSpacing())[:3, :3]
    affine[:3, 3] = reader.GetOrigin()[:3]
    return LPS_TO_RAS @ affine


def _data_files(file: Path) -> list[str]:
    """Names of the data files in a header; none if the data are in the same file."""
    with open(file, "rb") as stream:
        for line in stream:
            key, _, value = line.decode("latin-1").partition("=")
            if key.strip() == "ElementDataFile":
                return _named(value.strip(), stream)
    return []


def _named(value: str, rest: Iterable[bytes]) -> list[str]:
    if value.upper() == "LOCAL":
        return []
    if value.upper().startswith("LIST"):
        return [line.decode("latin-1").strip() for line in rest if line.strip()]
    if re.search(r"%0?\d*d", value):  # a pattern, then the first number, the last one and the step
        pattern, first, last, step = [*value.split(), "1", "1", "1"][:4]
        return [pattern % number for number in range(int(first), int(last) + 1, int(step))]
    return [value]
