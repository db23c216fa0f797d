"""Studies of a MONAI Label server, as its trainers see them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.nifti1 import Nifti1Image

from semicl_monai.data.images import case_name, check_repeated_cases
from semicl_monai.data.label_names import check_label_names
from semicl_monai.data.listing import listing
from semicl_monai.data.study_folder import StudyFolder, find_study_folder
from semicl_monai.utils import InputError
from semicl_monai.utils.distributed import rank_and_size
from semicl_monai.utils.nifti import NIFTI_SUFFIXES

MOST_VALUES = 32  # of a mask; an image has more
SMALL = 0.2  # file size of a mask by that of its voxels, at most

logger = logging.getLogger(__name__)


def list_studies(records: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """List all studies of the server that hands over some.

    MONAI Label names the labelled studies alone, and of links their targets. The labels tell the folder of the studies.
    What is left out is warned about: files that are not NIfTI, folders, and masks that lie among the studies.

    Args:
        records: ``{"image": path, "label": path}`` of at least one labelled study.

    Returns:
        One ``{"image": path, "case": name}`` for each study, sorted by name, under the name it has in the folder.

    Raises:
        InputError: When no study is labelled, the labels do not tell the folder, a labelled study is not NIfTI, or two
            studies have one name.
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
    studies = [file for file in files if file.name.endswith(NIFTI_SUFFIXES) and file.is_file()]
    masks = [file for file in studies if str(file) not in labelled and _is_mask(file)]
    _warn_of_left_out(folder, files, studies, masks)
    found = [{"image": str(file), "case": case_name(file)} for file in studies if file not in masks]
    check_repeated_cases(found)
    return found


def labelled_studies(records: Sequence[Mapping[str, Any]], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the records of labelled studies as they are called in their folder.

    Args:
        records: ``{"image": path, "label": path}`` of each, as MONAI Label hands them over.
        class_names: names of the classes without background.

    Raises:
        InputError: When a study is not NIfTI, or its label names other classes, see :func:`check_label_names`.
    """
    check_label_names(records, class_names)
    folder = find_study_folder(records)
    return [dict(record) for record in records] if folder is None else _labelled(folder, records)


def name_cases(records: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Give each record without one its ``case``: the name of its study in MONAI Label, or else that of its image file.

    A study that is a link is called as it is in the folder of studies, and its files are those of that folder.
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
            if not record[key].endswith(NIFTI_SUFFIXES):
                raise InputError(f"study {record['case']}: {key} must be NIfTI (.nii or .nii.gz), got {record[key]}.")
    return found


def _warn_of_left_out(folder: StudyFolder, files: list[Path], studies: list[Path], masks: list[Path]) -> None:
    names = {case_name(file) for file in studies}
    # the labels, and the DICOM series that a server has made a study of
    own = {folder.datastore.name, folder.labels.parent.name, *names}
    reasons = {
        "wanted .nii or .nii.gz": [f.name for f in files if f.is_file() and f not in studies and f.name not in own],
        "links to nothing": [file.name for file in files if not file.exists()],
        "folders, wanted .nii or .nii.gz": [file.name for file in files if file.is_dir() and file.name not in own],
        "few whole numbers as in a mask": [file.name for file in masks],
    }
    for reason, left_out in reasons.items():
        if left_out and rank_and_size()[0] == 0:
            logger.warning(f"{len(left_out)} of {folder.images} left out ({reason}): {listing(left_out)}.")


def _is_mask(file: Path) -> bool:
    """Whether an image holds no more whole numbers than a mask does; one that cannot be read is left to the loader."""
    try:
        image = Nifti1Image.from_filename(file)
        num_bytes = np.prod(image.shape) * image.get_data_dtype().itemsize
        if file.name.endswith(".gz") and file.stat().st_size > max(SMALL * num_bytes, 2048):
            return False  # not worth the time
        values = np.unique(np.asanyarray(image.dataobj))
    except Exception:  # what a broken file makes nibabel and zlib raise is no closed list
        return False
    return 1 < len(values) <= MOST_VALUES and bool((values == np.round(values)).all())
