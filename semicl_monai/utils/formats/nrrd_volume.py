"""NRRD files as volumes, read and written by pynrrd.

Where readers differ, the definition of the format is followed (https://teem.sourceforge.net/nrrd/format.html):

* ``space`` must be a space of the patient: ``right-anterior-superior``, ``left-anterior-superior``,
  ``left-posterior-superior``, their short names, and their forms with time. Each names the directions in which its axes
  grow, as in ITK. MONAI 1.6.1's ``NrrdReader`` does not turn ``left-anterior-superior`` to RAS. ``scanner-xyz`` and
  spaces without a name are refused, because they do not say where left is. ITK takes them for left-posterior-superior.
* A file without any space, with ``spacings`` alone, is read as ITK and 3D Slicer read it: its axes grow to the left, to
  the back and to the head, and its first voxel is the origin. Without ``spacings``, it is refused.
* ``space units`` other than mm are converted. ITK does not convert them.
* The axis that ``space directions`` gives as ``none``, or that ``kinds`` does not call spatial, is the axis of the
  channels, wherever it stands.
* A detached header (``.nhdr``) may name one data file. Several data files are refused.

A ``.seg.nrrd`` of 3D Slicer is a NRRD with named segments, see :mod:`semicl_monai.utils.formats.segments`.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import nrrd
import numpy as np

from semicl_monai.utils.errors import InputError
from semicl_monai.utils.files import write_whole
from semicl_monai.utils.formats.volume import Volume
from semicl_monai.utils.nifti import MASK_DESCRIPTION, mask_description

TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
}
SHORT = {"RAS": "right-anterior-superior", "LAS": "left-anterior-superior", "LPS": "left-posterior-superior"}
MM = {"mm": 1.0, "millimeter": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3}
OTHER_KINDS = re.compile("complex|quaternion|matrix", re.IGNORECASE)
SPATIAL = ("space", "domain", "???", "none")  # kinds that an axis of space may have
DATA_FILE = ("data file", "datafile")
SPACE_OF_MASK = "nrrd_space"  # key in the metadata of an image


class NrrdVolume(Volume):
    """A NRRD file, by the rules of this module.

    Attributes:
        channel_axis: axis of the channels in the file; ``None`` if there is none.
    """

    format, suffixes, mask_suffix = "NRRD", (".seg.nrrd", ".nrrd", ".nhdr"), ".nrrd"
    channel_axis: int | None

    @classmethod
    def open(cls, file: Path, allow_gaps: bool = False) -> NrrdVolume:
        """Open a NRRD file and check its header."""
        header = _read_header(file)
        _check_data_file(file, header)
        if header["type"] == "block":  # every other type of the format is a real number
            raise InputError("must hold one real number a voxel, got the type block.")
        sizes = [int(size) for size in header["sizes"]]
        axis = _channel_axis(header, len(sizes))
        spatial = [number for number in range(len(sizes)) if number != axis]
        shape = [sizes[number] for number in spatial] + ([] if axis is None else [sizes[axis]])
        segments = _segments(header)
        if segments is not None and axis is not None and sizes[axis] > 1:
            raise InputError(
                f"must be a segmentation of one layer, got {sizes[axis]} layers of segments that overlap; in 3D "
                "Slicer, export the segmentation as one label map."
            )
        volume = cls(file, tuple(shape), _affine(header, spatial), header)
        volume.channel_axis, volume.segments = axis, segments
        return volume

    def read(self) -> np.ndarray:
        """Return the voxels, with the channels last."""
        with open(self.file, "rb") as stream:
            header = nrrd.read_header(_lines(stream))
            voxels = nrrd.read_data(header, stream, str(self.file))
        return voxels if self.channel_axis is None else np.moveaxis(voxels, self.channel_axis, -1)

    def metadata(self) -> dict[str, Any]:
        """Return the name of the space."""
        return {SPACE_OF_MASK: _space_name(self.header) or SHORT["LPS"]}

    @classmethod
    def stored_files(cls, file: Path) -> list[Path]:
        """Return the file, or a detached header with its data file."""
        try:
            name = _data_file(_read_header(file))
        except Exception:  # a broken header is refused when it is opened
            return [file]
        return [file] if name is None else [file, file.parent / name]

    @classmethod
    def write_mask(
        cls, file: Path, mask: np.ndarray, affine: np.ndarray, image: Mapping[str, Any], names: Mapping[int, str]
    ) -> None:
        """Write a mask in the space of the image, such as ``left-posterior-superior``, with gzip."""
        space = image.get(SPACE_OF_MASK) or SHORT["LPS"]
        signed = np.diag([*TO_RAS[space], 1]) @ affine
        header = {
            "space": space,
            "space directions": signed[:3, :3].T,  # one row an axis of the file
            "space origin": signed[:3, 3],
            "kinds": ["domain"] * 3,
            "encoding": "gzip",
            "content": mask_description(mask).decode(),
        }
        content = io.BytesIO()
        nrrd.write(content, mask, header, compression_level=1)
        write_whole(file, content.getvalue(), "give a writable --output_dir")

    @classmethod
    def is_own_mask(cls, file: Path) -> bool:
        """Whether the field ``content`` fits the voxels."""
        says = str(_read_header(file).get("content", "")).encode()
        return says.startswith(MASK_DESCRIPTION) and says == mask_description(cls.open(file).read())


def _read_header(file: Path) -> Any:
    with open(file, "rb") as stream:
        return nrrd.read_header(_lines(stream))


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Lines of a header as UTF-8; pynrrd 1.1.3 drops letters that are not ASCII, such as those of segment names."""
    for line in stream:
        yield line.decode("utf-8", "replace")


def _data_file(header: Mapping[str, Any]) -> str | None:
    return next((str(header[name]) for name in DATA_FILE if name in header), None)


def _check_data_file(file: Path, header: Mapping[str, Any]) -> None:
    name = _data_file(header)
    if name is None:
        return
    if name.split()[:1] == ["LIST"] or re.search(r"%0?\d*d", name):
        raise InputError(f"must have one data file, got the list '{name}'.")
    if not (file.parent / name).is_file():
        raise InputError(f"names the data file {os.fspath(file.parent / name)}, which is not there.")


def _channel_axis(header: Mapping[str, Any], dimension: int) -> int | None:
    """The axis of the channels, which ``space directions`` or ``kinds`` tells; the last of four if neither does."""
    kinds = [str(kind).lower() for kind in header.get("kinds", [])]
    matrix = next((kind for kind in kinds if OTHER_KINDS.search(kind)), None)
    if matrix:
        raise InputError(f"must hold one real number a voxel, got the kind {matrix}.")
    others = _without_direction(header)
    if not others:
        others = [number for number, kind in enumerate(kinds) if kind not in SPATIAL]
    if not others and dimension == 4:
        others = [3]
    if dimension - len(others) != 3 or len(others) > 1:
        raise InputError(f"must have three axes in space and at most one of channels, got {_axes(header, others)}.")
    return others[0] if others else None


def _without_direction(header: Mapping[str, Any]) -> list[int]:
    if "space directions" in header:
        rows = header["space directions"]
        return [number for number, row in enumerate(rows) if row is None or np.isnan(row).all()]
    spacings = np.asarray(header.get("spacings", []), float)
    return np.flatnonzero(np.isnan(spacings)).tolist()


def _axes(header: Mapping[str, Any], others: Sequence[int]) -> str:
    return f"{header['dimension']} axes, {len(others)} of them of channels"


def _affine(header: Mapping[str, Any], spatial: Sequence[int]) -> np.ndarray:
    affine = np.eye(4)
    if "space" not in header and "space dimension" not in header and "space directions" not in header:
        spacings = np.asarray(header.get("spacings", [np.nan] * len(header["sizes"])), float)[list(spatial)]
        if np.isnan(spacings).any():
            raise InputError("must give the size of its voxels, got neither 'space directions' nor 'spacings'.")
        affine[:3, :3] = np.diag(spacings)
        return np.diag([*TO_RAS[SHORT["LPS"]], 1]) @ affine
    name = _space_name(header)
    if name not in TO_RAS:
        given = header.get("space") or "no name"
        raise InputError(f"must give its 'space' as {', '.join(TO_RAS)}, got {given}: where left is cannot be known.")
    if "space directions" not in header:
        raise InputError("must give 'space directions' in its 'space', got none.")
    affine[:3, :3] = np.array([np.asarray(header["space directions"][axis], float)[:3] for axis in spatial]).T
    affine[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), float)[:3]
    affine[:3] *= _mm(header)
    return np.diag([*TO_RAS[name], 1]) @ affine


def _space_name(header: Mapping[str, Any]) -> str | None:
    given = str(header.get("space", "")).strip()
    name = SHORT.get(given[:3].upper(), given) if len(given) in (3, 4) else given
    return name.lower().removesuffix("-time") or None


def _mm(header: Mapping[str, Any]) -> float:
    """Millimetres of the units of the space."""
    units = {str(unit).strip() for unit in header.get("space units", [])[:3]} - {""}
    if not units:
        return 1.0
    if len(units) > 1 or not units <= set(MM):
        raise InputError(f"must have 'space units' of mm, cm, m or um, got {', '.join(sorted(units))}.")
    return MM[units.pop()]


def _segments(header: Mapping[str, Any]) -> dict[int, str] | None:
    """Names of segments by value, of a segmentation of 3D Slicer."""
    found = (re.fullmatch(r"Segment(\d+)_(LabelValue|Name|ID)", key) for key in header)
    numbers = list(dict.fromkeys(match[1] for match in found if match))
    if not numbers:
        return {} if any(key.startswith("Segmentation_") for key in header) else None
    layers = {str(header.get(f"Segment{number}_Layer", 0)) for number in numbers}
    if len(layers) > 1:
        raise InputError(f"must be a segmentation of one layer, got {len(layers)} layers of segments that overlap.")
    names = {number: str(header.get(f"Segment{number}_Name", f"segment {number}")).strip() for number in numbers}
    # earlier versions of 3D Slicer give no value; it is 1
    return {int(header.get(f"Segment{number}_LabelValue", 1)): names[number] for number in numbers}
