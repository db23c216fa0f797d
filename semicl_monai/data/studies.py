"""Studies of a MONAI Label server, listed for its trainers."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semicl_monai.data.images import case_name, check_repeated_cases
from semicl_monai.data.label_names import check_label_names
from semicl_monai.data.listing import listing
from semicl_monai.data.study_folder import StudyFolder, find_study_folder
from semicl_monai.utils import InputError
from semicl_monai.utils.distributed import rank_and_size
from semicl_monai.utils.formats import SEGMENTATION_SUFFIXES, Volume, format_of, open_volume, stored_files
from semicl_monai.utils.formats.dicom_series import DicomSeries

MOST_VALUES = 32  # of a mask; an image has more
MOST_BYTES = 0.4  # of a voxel in the compressed file of a mask; an image has more

logger = logging.getLogger(__name__)


def list_studies(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """List all studies of a MONAI Label server, given some labelled ones.

    MONAI Label gives only the labelled studies. For a link it gives the target. The folder of the studies is found from
    the paths of the labels. Studies are NIfTI or NRRD. Other formats of volumes are studies if the server lists them.
    Other files, folders, and masks among the studies are left out with a warning.

    Args:
        records: ``{"image": path, "label": path}`` of at least one labelled study.

    Returns:
        One ``{"image": path, "case": name}`` for each study, sorted by name. If a study is a link, the name is that of
        the link.

    Raises:
        InputError: When no study is labelled, the folder cannot be found from the labels, a labelled study is no
            volume, or two studies have the same name.
    """
    if not records:
        raise InputError(
            "the studies are found beside the labelled ones: wanted at least one labelled study, got none."
        )
    folder = find_study_folder(records)
    if folder is None:
        raise InputError(
            "the studies are found by the folder of their labels: wanted all labels in STUDIES/labels/final, got "
            f"{records[0].get('label')}."
        )
    labelled = {record["image"] for record in _labelled(folder, records)}
    files = [file for file in sorted(folder.images.iterdir()) if file.name[0] != "."]
    studies = [file for file in files if _is_study(folder, file)]
    masks = [file for file in studies if str(file) not in labelled and _is_mask(file)]
    _warn_of_left_out(folder, files, studies, masks)
    found = [{"image": str(file), "case": case_name(file)} for file in studies if file not in masks]
    check_repeated_cases(found)
    return found


def labelled_studies(
    records: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    ignore_value: int | None = None,
    regions: Sequence[Sequence[int]] | None = None,
) -> list[dict[str, Any]]:
    """Return the records of labelled studies with their names and paths in the folder of studies.

    Args:
        records: ``{"image": path, "label": path}`` of each study, as MONAI Label gives them.
        class_names: names of the classes without background.
        ignore_value: as for :func:`check_label_names`.
        regions: as for :func:`check_label_names`.

    Raises:
        InputError: When a study is no volume, or its label has other class names, see :func:`check_label_names`.
    """
    check_label_names(records, class_names, ignore_value, regions)
    folder = find_study_folder(records)
    return [dict(record) for record in records] if folder is None else _labelled(folder, records)


def name_cases(records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Add ``case`` to records without it: the name of the study in MONAI Label, or else that of the image file.

    If a study is a link, its record gets the name and the files of the link, not of the target.
    """
    bare = [record for record in records if "case" not in record]
    folder = find_study_folder(bare)
    return [record if "case" in record else _named(record, folder) for record in records]


def _named(record: Mapping[str, Any], folder: StudyFolder | None) -> Any:
    if folder is not None:
        return folder.record(record)
    image = record.get("image")
    return {**record, "case": case_name(image)} if isinstance(image, (str, list)) else record


def _labelled(folder: StudyFolder, records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = [folder.record(record) for record in records]
    for record in found:
        if record["case"].startswith("."):
            raise InputError(f"study {record['case']}: must not be a hidden file, got {record['image']}: delete it.")
        for key in ("image", "label"):
            if format_of(record[key]) in (None, DicomSeries):
                wanted = "NIfTI (.nii or .nii.gz) or NRRD (.nrrd)"
                raise InputError(f"study {record['case']}: {key} must be {wanted}, got {record[key]}.")
    return found


def _is_study(folder: StudyFolder, file: Path) -> bool:
    is_volume = file.name.endswith(folder.suffixes) and not file.name.endswith(SEGMENTATION_SUFFIXES)
    return is_volume and file.is_file()


def _warn_of_left_out(folder: StudyFolder, files: list[Path], studies: list[Path], masks: list[Path]) -> None:
    names = {case_name(file) for file in studies}
    # the labels, the folders of DICOM series that a server has turned into studies, and the data files of headers
    own = {folder.datastore.name, folder.labels.parent.name, *names}
    own |= {part.name for file in studies for part in stored_files(file)}
    left = [file for file in files if file not in studies and file.name not in own]
    labels = [file for file in left if file.name.endswith(SEGMENTATION_SUFFIXES) and file.is_file()]
    wanted = "wanted " + ", ".join(folder.suffixes)
    reasons = {
        wanted: [file.name for file in left if file.is_file() and file not in labels],
        "segmentations": [file.name for file in labels],
        "links to nothing": [file.name for file in left if not file.exists()],
        f"folders, {wanted}": [file.name for file in left if file.is_dir()],
        "few whole numbers as in a mask": [file.name for file in masks],
    }
    for reason, left_out in reasons.items():
        if left_out and rank_and_size()[0] == 0:
            logger.warning(f"{len(left_out)} of {folder.images} left out ({reason}): {listing(left_out)}.")


def _is_mask(file: Path) -> bool:
    """Whether an image holds only a few whole numbers, as a mask does; the loader handles unreadable images."""
    try:
        image = open_volume(file)
        if _is_compressed(image) and file.stat().st_size > max(MOST_BYTES * np.prod(image.shape), 2048):
            return False  # too large for a mask; reading it would take time
        values = np.unique(image.read())
    except Exception:  # a broken file can make its reader raise anything
        return False
    return 1 < len(values) <= MOST_VALUES and bool((values == np.round(values)).all())


def _is_compressed(image: Volume) -> bool:
    return image.file.suffix == ".gz" or image.header.get("encoding", "raw") != "raw"
