"""The folders of the MM-WHS 2017 challenge, as they are downloaded."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from semicl_monai.utils import InputError, one_of

MODALITIES = ("ct", "mr")

#: the seven structures of the challenge, in the order of their classes 1 to 7; 0 is the background
MMWHS_CLASSES = (
    "Left ventricle",  # its blood cavity, like those of the other chambers
    "Right ventricle",
    "Left atrium",
    "Right atrium",
    "Myocardium",  # of the left ventricle
    "Ascending aorta",
    "Pulmonary artery",
)

#: value of each of :data:`MMWHS_CLASSES` in the label volumes of the challenge, in the same order. Background is 0. One
#: downloaded case also has a few voxels of 421; they are left atrium (420).
MMWHS_VALUES = (500, 600, 420, 550, 205, 820, 850)


def mmwhs_sections(folder: str | os.PathLike[str], modality: str) -> dict[str, list[dict[str, str]]]:
    """List the volumes of one modality of the MM-WHS 2017 challenge, in the layout of its download.

    The layout for CT is ``ct_train/ct_train_1001_image.nii.gz`` with ``ct_train/ct_train_1001_label.nii.gz``, and
    ``ct_test/ct_test_2001_image.nii.gz``. For MR the folders are ``mr_train`` and ``mr_test``. The two folders may lie
    in ``folder`` or in its direct subfolders. Hidden subfolders are left out. Upper and lower case are the same.
    ``.nii`` and ``.nii.gz`` are both allowed. Files with other names are left out. No image or label is opened.

    Images of the test folder are unlabelled, because the challenge does not publish their labels. **A label file in the
    test folder is ignored.** A training image without a label stays in ``"training"``, as a record without ``"label"``.

    Args:
        folder: the folder that holds ``ct_train`` and ``ct_test`` (or ``mr_train`` and ``mr_test``), or its parent.
        modality: ``"ct"`` or ``"mr"``.

    Returns:
        Records ``{"image": absolute path, "label": absolute path, "case": name}`` under ``"training"`` and
        ``{"image", "case"}`` under ``"unlabelled"``, each sorted by case; ``"validation"`` and ``"test"`` are empty.
        A case is named like its files without ``_image``, in lower case: ``"ct_train_1001"``.

    Raises:
        InputError: When ``modality`` is neither ``"ct"`` nor ``"mr"``, the modality has no image, a case occurs twice,
            a training label has no image, or a folder cannot be read.
    """
    modality = one_of(modality, MODALITIES, "modality")
    root = Path(os.path.abspath(Path(folder or "").expanduser()))
    training = _records(_files(root, f"{modality}_train"))
    unlabelled = [{"image": r["image"], "case": r["case"]} for r in _records(_files(root, f"{modality}_test", "image"))]
    if not training and not unlabelled:
        raise InputError(
            f"no MM-WHS {modality} images in {root}: wanted {modality}_train/{modality}_train_1001_image.nii.gz with "
            f"{modality}_train_1001_label.nii.gz and {modality}_test/{modality}_test_2001_image.nii.gz there or one "
            "folder down; this project cannot download the data (MM-WHS challenge, Zhuang & Shen): register at "
            "https://zmiclab.github.io/zxh/0/mmwhs/ to get it."
        )
    return {"training": training, "unlabelled": unlabelled, "validation": [], "test": []}


def _files(root: Path, part: str, kinds: str = "image|label") -> dict[str, dict[str, str]]:
    """Return the paths of each case of ``ct_train`` or the like: ``{case: {"image": path, "label": path}}``."""
    pattern = re.compile(rf"({part}_\d+)_({kinds})\.nii(?:\.gz)?", re.IGNORECASE)
    found: dict[str, dict[str, str]] = {}
    for folder in _folders(root, part):
        for file in _children(folder):
            match = pattern.fullmatch(file.name)
            if match is None:
                continue
            case, kind = match[1].lower(), match[2].lower()
            paths = found.setdefault(case, {})
            if kind in paths:
                raise InputError(f"case {case}: wanted one {kind} file, got {paths[kind]} and {file}.")
            paths[kind] = str(file)
    return found


def _folders(root: Path, part: str) -> Iterator[Path]:
    for parent in (root, *(child for child in _visible_folders(root) if os.access(child, os.R_OK | os.X_OK))):
        yield from (child for child in _visible_folders(parent) if child.name.lower() == part)


def _visible_folders(parent: Path) -> list[Path]:
    return [child for child in _children(parent) if child.is_dir() and child.name[0] != "."] if parent.is_dir() else []


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"the folder {folder} cannot be read: {error.strerror}.") from error


def _records(files: dict[str, dict[str, str]]) -> list[dict[str, str]]:
    for case, paths in files.items():
        if "image" not in paths:
            raise InputError(f"case {case}: wanted an image beside its label {paths['label']}, got none.")
    # the image is the first entry of a record, whatever the order of the files
    return [{"image": files[case]["image"], **files[case], "case": case} for case in sorted(files)]
