"""DICOM files in a folder: which series they are of, and which are no images.

These are left out, and a line says so: localizers, secondary captures, colour images, images without a position, and
objects that are no images, such as segmentations (SEG), structure sets, dose, reports and presentation states.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from semicl_monai.utils.errors import InputError

INSTALL = "pip install pydicom highdicom"
MAGIC = slice(128, 132)
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DIRECTORY = "1.2.840.10008.1.3.10"
# CT, MR and PET, single and multi-frame: never without pixels
IMAGES = tuple(f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "2.1", "4", "4.1", "128", "130"))
NO_IMAGES = ("SEG", "RTSTRUCT", "RTDOSE", "RTPLAN", "RTIMAGE", "SR", "PR", "KO", "REG", "FID", "DOC", "RWV")
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "ImageType", "PatientID"),
    "SeriesDescription",
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "InstanceNumber", "ModalityLUTSequence"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber"),
    *("AcquisitionTime", "TriggerTime", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
BROKEN = "broken file"
MOST_NAMED = 3
MOST_FOLDERS_KEPT = 8


@dataclass(frozen=True)
class SeriesFiles:
    """The files of a series in one folder.

    Attributes:
        uid: its SeriesInstanceUID.
        number: its SeriesNumber as text; may be empty.
        patient: its PatientID; may be empty.
        files: its files, sorted by name.
        headers: their headers without pixels.
    """

    uid: str
    number: str
    patient: str
    files: tuple[Path, ...]
    headers: tuple[Any, ...]


@dataclass(frozen=True)
class FoundSeries:
    """A series in a tree of folders.

    Attributes:
        image: the folder of the series, or its first file if the folder holds several.
        case: a name that differs from that of the other series.
        patient: its PatientID; may be empty.
    """

    image: Path
    case: str
    patient: str


def pydicom() -> Any:
    """Return the module pydicom.

    Raises:
        InputError: When it is not installed.
    """
    try:
        import pydicom  # noqa: PLC0415 # an extra, which only DICOM needs
    except ImportError as error:
        raise InputError(f"is DICOM, which needs pydicom: {INSTALL}.") from error
    return pydicom


def is_dicom_file(file: str | os.PathLike[str]) -> bool:
    """Whether a file begins as DICOM files do, whatever its name."""
    try:
        with open(file, "rb") as stream:
            return stream.read(MAGIC.stop)[MAGIC] == b"DICM"
    except OSError:
        return False


def series_of(path: Path) -> SeriesFiles:
    """Return the series of a path.

    Args:
        path: the folder of one series, or a file of it. The other files of the series lie in the same folder.

    Raises:
        InputError: When the folder holds no series or several, or the file is no image.
    """
    folder = path if path.is_dir() else path.parent
    series, left_out = series_in(folder)
    broken = next((reason for reason in left_out if reason.startswith(BROKEN)), None)
    if broken:  # it may be a slice of the series
        raise InputError(f"must be a DICOM series without broken files, got {broken}.")
    if not path.is_dir():
        found = next((each for each in series if path in each.files), None)
        if found is None:
            raise InputError(f"must be an image of a DICOM series, got {_reason_of(path)}.")
        return found
    if not series:
        raise InputError(f"must be the folder of a DICOM series, got {_sum(left_out) or 'no DICOM file'}.")
    if len(series) > 1:
        names = ", ".join(each.files[0].name for each in series[:5])
        raise InputError(
            f"must be the folder of one DICOM series, got {len(series)}: name one file of the series instead, such as "
            f"{names}."
        )
    return series[0]


def series_in(folder: Path) -> tuple[tuple[SeriesFiles, ...], tuple[str, ...]]:
    """Return the series of images in a folder, sorted by patient and number, and what each other DICOM file is."""
    files = tuple(sorted(file for file in folder.iterdir() if file.name[0] != "." and file.is_file()))
    stats = [file.stat() for file in files]
    return _scan(files, tuple((stat.st_size, stat.st_mtime_ns, stat.st_ino) for stat in stats))


def find_series(root: Path) -> tuple[list[FoundSeries], list[str]]:
    """Find all series of images in a folder and the folders below it.

    A series is named by its folders below ``root``, joined by ``_``. A series in ``root`` itself is named by ``root``.
    In a folder of several patients, the PatientID takes the place of the folder. In a folder of several series, the
    SeriesNumber is appended, or a part of a digest if it is missing or occurs twice.

    Returns:
        The series, sorted by folder and number, and what each other DICOM file is.
    """
    found: list[FoundSeries] = []
    others: list[str] = []
    seen = {os.path.realpath(root)}
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != "." and _is_new(Path(folder, name), seen))
        if not any(_may_be_dicom(Path(folder, name)) for name in names):
            continue
        series, left_out = series_in(Path(folder))
        parts = Path(folder).relative_to(root).parts or (Path(os.path.abspath(root)).name,)
        found += _named(Path(folder), "_".join(parts), series)
        others += left_out
    return found, others


def left_out_line(left_out: Sequence[str]) -> str:
    """Return one line on DICOM files that are left out; empty if there are none."""
    return f"left out of the DICOM files, as they are no volumes: {_sum(left_out)}." if left_out else ""


def _sum(left_out: Sequence[str]) -> str:
    broken = [reason.removeprefix(BROKEN).strip() for reason in left_out if reason.startswith(BROKEN)]
    counts = Counter(reason for reason in left_out if not reason.startswith(BROKEN))
    parts = [f"{count} {what}" for what, count in sorted(counts.items())]
    named = f"{', '.join(broken[:MOST_NAMED])}{', ...' if len(broken) > MOST_NAMED else ''}"
    return ", ".join([*parts, *([f"{len(broken)} {BROKEN}(s) ({named})"] if broken else [])])


def _is_new(folder: Path, seen: set[str]) -> bool:
    """Whether a folder was not seen before, also under another name; a link may lead back up."""
    place = os.path.realpath(folder)
    is_new = place not in seen
    seen.add(place)
    return is_new


def _may_be_dicom(file: Path) -> bool:
    return file.name[0] != "." and is_dicom_file(file)


def _named(folder: Path, name: str, series: Sequence[SeriesFiles]) -> Iterator[FoundSeries]:
    several = len({each.patient for each in series}) > 1
    numbers = Counter((each.patient, each.number) for each in series)
    for each in series:
        base = _plain(each.patient) if several and each.patient else name
        unique = each.number and numbers[each.patient, each.number] == 1
        ending = each.number if unique else sha256(each.uid.encode()).hexdigest()[:8]
        alone = len(series) == 1
        yield FoundSeries(folder if alone else each.files[0], base if alone else f"{base}_{ending}", each.patient)


def _plain(patient: str) -> str:
    return re.sub(r"[^\w.-]+", "-", patient)


@lru_cache(MOST_FOLDERS_KEPT)
def _scan(files: tuple[Path, ...], stamps: tuple[Any, ...]) -> tuple[tuple[SeriesFiles, ...], tuple[str, ...]]:
    """The series of some files; unchanged files are read once."""
    images: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    left_out: list[str] = []
    for file in filter(is_dicom_file, files):
        header = _header(file)
        reason = f"{BROKEN} {file.name}" if header is None else _no_image(header)
        if reason is None:
            images[str(header.SeriesInstanceUID)].append((file, header))
        elif reason:
            left_out.append(reason)
    series = [_series(uid, pairs) for uid, pairs in images.items()]
    return tuple(sorted(series, key=lambda each: (each.patient, each.number.zfill(12), each.uid))), tuple(left_out)


def _header(file: Path) -> Any:
    """The header of a file, or ``None`` for a broken one."""
    dcmread = pydicom().dcmread
    try:
        header = dcmread(file, stop_before_pixels=True, specific_tags=list(TAGS))
    except Exception:  # a broken file can make pydicom raise anything
        return None
    is_cut = not _kind(header) or (_kind(header) in IMAGES and "Rows" not in header)
    return None if is_cut else header


def _kind(header: Any) -> str:
    """The SOP class of an object; a DICOMDIR gives it only before its data set."""
    return str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")


def _series(uid: str, pairs: Sequence[tuple[Path, Any]]) -> SeriesFiles:
    files, headers = zip(*pairs, strict=True)
    number, patient = (str(headers[0].get(name, "") or "").strip() for name in ("SeriesNumber", "PatientID"))
    return SeriesFiles(uid, number, patient, files, headers)


def _no_image(header: Any) -> str | None:
    """Why a DICOM object is no part of a volume; ``None`` if it is one, empty for a DICOMDIR."""
    kind, modality = _kind(header), str(header.get("Modality", "") or "")
    kinds = [str(part).upper() for part in header.get("ImageType", None) or ()]
    if kind == DIRECTORY:
        return ""
    if modality in NO_IMAGES or "Rows" not in header or "SeriesInstanceUID" not in header:
        return f"object(s) {modality}".strip()
    if kind.startswith(SECONDARY_CAPTURE):
        return "secondary capture(s)"
    if "LOCALIZER" in kinds or "SCOUT" in kinds:
        return "localizer(s)"
    if header.get("SamplesPerPixel", 1) != 1:
        return "colour image(s)"
    has_position = "ImagePositionPatient" in header and "ImageOrientationPatient" in header
    return None if has_position or "PerFrameFunctionalGroupsSequence" in header else "image(s) without a position"


def _reason_of(file: Path) -> str:
    if not is_dicom_file(file):
        return "a file that is not DICOM"
    header = _header(file)
    return BROKEN if header is None else _no_image(header) or "a DICOMDIR"
