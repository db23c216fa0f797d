"""NIfTI files: how they are opened, which of their affines is used, and what every stage refuses.

A header may give the affine of a volume twice, as an sform and as a qform. **If the code of the
sform is above 0, the sform is used. If not, and the code of the qform is above 0, the qform is used. If neither is,
nibabel's default for a file without both is used**: voxels of ``pixdim``, x flipped, the centre at the origin. All
affines are in mm: a file whose ``xyzt_units`` are metres or micrometres is converted.

Errors raised here say what is wrong, but not in which file; :func:`naming` adds the file.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from semicl_monai.utils.errors import InputError

NIFTI_SUFFIXES = (".nii.gz", ".nii")
SPACE_FIELDS = (
    *("sform_code", "srow_x", "srow_y", "srow_z", "qform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "pixdim", "xyzt_units"),
)
AFFINE_TOLERANCE = 1e-3  # mm, for the rounding of two headers
WHOLE_TOLERANCE = 1e-3  # for the rounding of class numbers by scl_slope
FLAT = 1e-4  # three axes of length 1 that span a smaller volume lie in a plane
MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # of metre, mm and micrometre, by xyzt_units
CHUNK = 1 << 20
MASK_DESCRIPTION = b"semicl-monai mask"  # with a checksum of the voxels it identifies a mask of ours


@dataclass(frozen=True)
class Space:
    """Voxel grid of a volume.

    Attributes:
        shape: voxels along the three axes of the file.
        affine: matrix from voxels to mm.
        header: header of its file, to explain an unexpected affine in an error; may be empty.
        file: its file.
    """

    shape: tuple[int, ...]
    affine: np.ndarray
    header: Mapping[str, Any] = field(default_factory=dict)
    file: str | os.PathLike[str] = ""


@contextmanager
def naming(where: str, format: str = "NIfTI") -> Iterator[None]:
    """Put the case and the file before the message of any error inside.

    Args:
        where: the case and the file, such as ``"case a: image file a.nii.gz"``.
        format: format of the file.

    Raises:
        InputError: When any error was raised inside. The message is one line.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{where} {error}") from error
    except Exception as error:  # a broken file can make its reader raise anything
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{where} cannot be read as {format}: {type(error).__name__}: {reason}") from error


def open_nifti(file: str | os.PathLike[str]) -> Any:
    """Open a NIfTI file and check its header.

    Args:
        file: the file.

    Returns:
        nibabel's image. :func:`read_voxels` reads its voxels. The ``affine`` of the image is in the units of the file.
        :func:`affine_in_mm` converts it.

    Raises:
        InputError: When the file is missing, has no NIfTI suffix, has no voxels, does not hold real numbers, or has an
            affine that is not finite or has no inverse.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise InputError("is not there.")
    if not path.name.endswith(NIFTI_SUFFIXES):
        raise InputError("must be NIfTI (.nii or .nii.gz, in small letters).")
    image: Any = nib.load(path)
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        raise InputError(f"must hold one real number a voxel, got {'RGB' if kind.names else kind}.")
    if not image.shape or 0 in image.shape:
        raise InputError(f"must have voxels, got the shape {image.shape}.")
    check_affine(affine_in_mm(image))
    return image


def affine_in_mm(image: Any) -> np.ndarray:
    """Return the affine of a nibabel image, from voxels to mm, by the rule of this module."""
    affine = np.array(image.affine, float)
    affine[:3] *= MM.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return affine


def mask_description(voxels: np.ndarray) -> bytes:
    """Return the header text of a mask of ours; after a correction by hand the text no longer fits."""
    total = zlib.crc32(np.asarray(voxels, "<f4").tobytes(order="F"))
    return MASK_DESCRIPTION + f" {total:08x}".encode()


def check_affine(affine: np.ndarray) -> None:
    """Refuse an affine that is not finite or has no inverse.

    Raises:
        InputError: When the affine cannot be used.
    """
    if not np.isfinite(affine).all():
        raise InputError("must have an affine of finite numbers, got NaN or infinity.")
    spacing = nib.affines.voxel_sizes(affine)
    if not (spacing > 0).all():
        raise InputError(f"must have a spacing above 0, got {spacing}.")
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < FLAT:
        raise InputError("must have an affine with an inverse, got axes that lie in a plane.")


def read_voxels(image: Any) -> np.ndarray:
    """Read the voxels of an opened file, and read on to the end of the file.

    nibabel stops at the last voxel, but the checksum of a gzip stream is compared only at its end.

    Args:
        image: from :func:`open_nifti`.
    """
    file = image.get_filename()
    if not file.endswith(".gz"):
        return np.asanyarray(image.dataobj)
    with gzip.open(file) as stream:
        voxels: np.ndarray = np.asanyarray(type(image).from_stream(stream).dataobj)
        while stream.read(CHUNK):
            pass
    return voxels


def check_intensities(voxels: np.ndarray) -> None:
    """Check the voxels of an image.

    Args:
        voxels: the voxels after :func:`without_nan`.

    Raises:
        InputError: When some voxels are not finite, or all voxels are equal.
    """
    low, high = voxels.min(), voxels.max()
    if not (np.isfinite(low) and np.isfinite(high)):  # the minimum of an array with NaN is NaN
        broken = np.count_nonzero(~np.isfinite(voxels))
        advice = "; --replace_nan 0 replaces NaN by 0" if np.isnan(voxels).any() else ""
        raise InputError(f"must hold finite numbers, got NaN or infinity in {broken} voxel(s){advice}.")
    if low == high:
        raise InputError(f"must not be constant, got {float(low):g} in every voxel.")


def without_nan(voxels: np.ndarray, value: float | None) -> np.ndarray:
    """Return the voxels of an image with NaN replaced by ``value``, or unchanged when ``value`` is ``None``."""
    if value is None or voxels.dtype.kind != "f":
        return voxels
    return np.where(np.isnan(voxels), voxels.dtype.type(value), voxels)


def check_replace_nan(value: Any) -> float | None:
    """Return the option ``replace_nan`` as a number.

    Raises:
        InputError: When the option is neither ``None`` nor a finite number.
    """
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(value)):
        return value
    raise InputError(f"replace_nan must be a finite number, got {value!r}.")


def whole_numbers(voxels: np.ndarray) -> np.ndarray:
    """Return the voxels of a label, rounded where they are whole to within 1e-3.

    A label that was resampled or saved with a scale (``scl_slope``) may hold 0.9999999 instead of 1.
    """
    if voxels.dtype.kind != "f":
        return voxels
    with np.errstate(invalid="ignore"):  # infinity
        whole = np.rint(voxels)
        if np.array_equal(whole, voxels):
            return voxels  # the common case takes no more memory
        return np.where(abs(voxels - whole) <= WHOLE_TOLERANCE, whole, voxels)


def check_same_space(space: Space, other: Space) -> None:
    """Check that a label or a further channel has the same space as its image.

    Args:
        space: the space of the image.
        other: the space that must be equal, its affine to within 1e-3 mm.

    Raises:
        InputError: When the two differ; the message gives the reason if the headers show it.
    """
    if space.shape != other.shape:
        raise InputError(f"must have the same shape {space.shape}, got {other.shape}.")
    difference = abs(space.affine - other.affine).max()
    if not difference <= AFFINE_TOLERANCE:  # NaN included
        reasons = "".join(_reason(one) for one in (space, other))
        raise InputError(
            f"must have the same affine to within {AFFINE_TOLERANCE:g}, got a difference of {difference:g}{reasons}."
        )


def _reason(space: Space) -> str:
    """The likely reason for an unexpected affine, from the header."""
    header = nifti_header(space.header)
    if header is None:
        return ""
    if header["sform_code"] <= 0 and header["qform_code"] <= 0:
        return f"; {space.file} gives no space (sform_code and qform_code are 0), so a default is used"
    if header["sform_code"] > 0 and header["qform_code"] > 0 and _differ(header):
        return f"; in {space.file} the sform and the qform differ, and the sform is used"
    return ""


def _differ(header: nib.Nifti1Header) -> bool:
    try:
        return not np.allclose(header.get_sform(), header.get_qform(), atol=AFFINE_TOLERANCE)
    except (ValueError, nib.spatialimages.HeaderDataError):  # an invalid qform
        return True


def nifti_header(fields: Mapping[str, Any], kind: type[nib.Nifti1Header] = nib.Nifti1Header) -> nib.Nifti1Header | None:
    """Return a header with the space of the file, from ``fields``; ``None`` if they are incomplete.

    Args:
        fields: a header, or the metadata that MONAI makes of one.
        kind: class of the header.
    """
    if not all(name in fields for name in SPACE_FIELDS):
        return None
    header = kind()
    for name in SPACE_FIELDS:
        header[name] = np.asarray(fields[name])
    header["pixdim"][4:] = 1
    return header
