"""The folder of studies that a MONAI Label server works on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semicl_monai.utils import read_json
from semicl_monai.utils.formats import FORMATS, SUFFIXES, without_suffix
from semicl_monai.utils.formats.dicom_series import DicomSeries

DATASTORE = "datastore_v2.json"
OF_SERVER = (".nii.gz", ".nii", ".nrrd")  # of the files that MONAI Label lists by default, those that are volumes


class StudyFolder:
    """Studies and finished labels in the layout of MONAI Label 0.8.5, with the client's notes on the labels.

    ``STUDIES/x.nii.gz`` is a study, and ``STUDIES/labels/final/x.nii.gz`` is its label. The label may be in another
    format than the study. ``STUDIES/datastore_v2.json`` may name other folders. It also holds the formats of the
    studies, and the client's notes on each label. Each file may be a link. MONAI Label gives the targets of links. The
    folder and the name of a target do not identify a study.

    Args:
        folder: the folder that the server was started with.

    Attributes:
        images: the folder of the studies.
        labels: the folder of the finished labels.
        datastore: the file ``datastore_v2.json``, which may be missing.
        suffixes: endings of the studies: those of MONAI Label by default, and those that its server lists besides.

    Raises:
        InputError: When ``datastore_v2.json`` cannot be read.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        folder = Path(folder)
        self.datastore = folder / DATASTORE
        known = read_json(self.datastore, "the datastore of MONAI Label") if self.datastore.is_file() else {}
        self.images = folder / str(known.get("images_dir") or ".")
        self.labels = folder / str(known.get("labels_dir") or "labels") / "final"
        self._objects = as_dict(known.get("objects"))
        files = sorted(self.labels.iterdir()) if self.labels.is_dir() else []
        self._labels = {os.path.realpath(file): file for file in files}
        self._studies = {f"{study}{self._label(study).get('ext')}": study for study in self._objects}
        listed = [str(as_dict(as_dict(study).get("image")).get("ext")) for study in self._objects.values()]
        self.suffixes = tuple(dict.fromkeys([*OF_SERVER, *filter(_is_of_files, listed)]))

    def has(self, label: str | os.PathLike[str]) -> bool:
        """Whether a file is one of the labels, also as the target of a link."""
        return os.path.realpath(label) in self._labels

    def record(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return the record of a labelled study with the files of this folder and the study's name as ``case``.

        Args:
            record: ``{"image": path, "label": path}``. Both paths may be the targets of links.
        """
        label = self._labels[os.path.realpath(record["label"])]
        # a server may call the study of x.seg.nrrd x or x.seg
        study = self._studies.get(label.name) or _study_name(label)
        return {**record, "image": self._image(study, record["image"]), "label": str(label), "case": study}

    def info(self, study: str) -> dict[str, Any]:
        """Return the client's notes on the label of a study."""
        return as_dict(self._label(study).get("info"))

    def _label(self, study: str) -> dict[str, Any]:
        return as_dict(as_dict(as_dict(self._objects.get(study)).get("labels")).get("final"))

    def _image(self, study: str, image: str) -> str:
        target = os.path.realpath(image)
        links = [self.images / f"{study}{suffix}" for suffix in SUFFIXES]
        return next((str(file) for file in links if os.path.realpath(file) == target), image)


def find_study_folder(records: Iterable[Mapping[str, Any]]) -> StudyFolder | None:
    """Return the study folder of all records, or ``None`` if they are not labelled studies of MONAI Label.

    It is the folder that the server was started with. MONAI Label tells its trainings this folder. If it is not known,
    a folder above the labels is used. The paths of the images are not used, because links may lead to an archive
    elsewhere.

    Raises:
        InputError: When a ``datastore_v2.json`` cannot be read.
    """
    given = [record.get("label") for record in records]
    labels = [label for label in given if isinstance(label, str | os.PathLike)]
    if not labels or len(labels) < len(given):
        return None
    # MONAI Label sets this variable for all its processes; on a DICOM server it is an address
    started_with = Path(os.path.abspath(os.environ.get("MONAI_LABEL_STUDIES") or os.devnull))
    folders = [started_with] if (started_with / DATASTORE).is_file() else _around(labels)
    for found in map(StudyFolder, folders):
        if all(found.has(label) for label in labels):
            return found
    return None


def as_dict(value: Any) -> dict[str, Any]:
    """A part of a JSON file as a dictionary; it is empty if the part is not an object."""
    return value if isinstance(value, dict) else {}


def _around(labels: Iterable[str | os.PathLike[str]]) -> list[Path]:
    finals = dict.fromkeys(Path(label).parent.resolve() for label in labels)
    folders = [folder for final in finals if final.name == "final" for folder in _above(final)]
    return list(dict.fromkeys(folders))


def _above(final: Path) -> list[Path]:
    usual = [final.parents[1]] if final.parent.name == "labels" else []
    return usual + [folder for folder in final.parents[:4] if (folder / DATASTORE).is_file()]


def _study_name(label: Path) -> str:
    name = without_suffix(label.name)
    return label.stem if name == label.name else name


def _is_of_files(suffix: str) -> bool:
    """Whether a suffix is that of volumes that are files."""
    return suffix in FORMATS and FORMATS[suffix] is not DicomSeries
