"""DICOM series and DICOM SEG of a tree; a SEG names the series that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from semicl_monai.data.pairing.find import walk
from semicl_monai.data.pairing.named_file import NamedFile, read_name
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import find_series, is_dicom_file, left_out_line
from semicl_monai.utils.formats.dicom_files import pydicom, series_in, series_of
from semicl_monai.utils.formats.dicom_labels import is_segmentation


def find_images(root: Path, folders: Sequence[Path]) -> tuple[list[NamedFile], list[str]]:
    """Return the series in some folders and those below them, and a line on DICOM files that are no volumes.

    Args:
        root: the folder that case names start from.
        folders: the folders.
    """
    found, others = [], []
    for folder in folders:
        try:
            found_series, left_out = find_series(folder)
        except InputError as error:  # pydicom is missing
            return [], [f"DICOM: {folder} {error}"]
        inside = folder.relative_to(root).parts
        for each in found_series:
            case = "_".join([*inside[:-1], each.case] if each.image == folder or not inside else [*inside, each.case])
            place = each.image if each.image.is_dir() else each.image.with_name(each.case)
            name = read_name(str(each.image), _relative(place, root))
            series = series_of(each.image)
            told = [str(series.headers[0].get(tag, "")).strip() for tag in ("Modality", "SeriesDescription")]
            given = {"case": case, "patient": each.patient, "series": series.uid, "series_type": " ".join(told).strip()}
            found.append(NamedFile(**{**vars(name), **given, "is_label": False}))
        others += [reason for reason in left_out if not reason.endswith("SEG")]
    return found, [left_out_line(others).removeprefix("left out of the ")] if others else []


def find_segmentations(root: Path, folders: Sequence[Path]) -> list[NamedFile]:
    """Return all DICOM SEG in some folders and those below them."""
    files = {file for folder in folders for file in walk(folder) if is_dicom_file(file)}
    slices = {
        file for folder in {file.parent for file in files} for each in series_in(folder)[0] for file in each.files
    }
    found = [file for file in sorted(files - slices) if _is_segmentation(file)]
    return [
        NamedFile(**{**vars(read_name(str(file), _relative(file, root), is_label=True)), "series": _referenced(file)})
        for file in found
    ]


def _is_segmentation(file: Path) -> bool:
    try:
        return is_segmentation(file)
    except InputError as error:  # pydicom is missing
        raise InputError(f"{file} {error}") from error


def _referenced(file: Path) -> str:
    header = pydicom().dcmread(file, stop_before_pixels=True, specific_tags=["ReferencedSeriesSequence"])
    series = header.get("ReferencedSeriesSequence") or []
    return str(series[0].SeriesInstanceUID) if len(series) == 1 else ""


def _relative(file: Path, root: Path) -> str:
    return str(PurePath(file).relative_to(root)) if file != root else file.name
