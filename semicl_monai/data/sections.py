"""The cases of a data set's own description, as lists of records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semicl_monai.data.images import case_name, check_repeated_cases, image_files
from semicl_monai.data.listing import listing
from semicl_monai.data.nnunet import find_file, find_image, is_nnunet, nnunet_sections, warn_of_unused
from semicl_monai.utils import InputError, read_json
from semicl_monai.utils.formats import SUFFIXES

Record = dict[str, Any]
KEYS = ("image", "label", "weak_label")
SECTIONS = ("training", "unlabelled", "validation", "test")
OTHER_PATIENTS = ("patient", "patientid", "patientname", "subject", "subjectid")  # keys, by their letters and digits
SPELLINGS = {"unlabeled": "unlabelled", "testing": "test"}  # the second is that of MONAI's Auto3DSeg


# not monai.data.load_decathlon_datalist: it takes plain paths only under "test", and fails when that list is empty
def read_sections(file: str | os.PathLike[str]) -> dict[str, list[Record]]:
    """Read a Decathlon, a plain or an nnU-Net ``dataset.json``.

    If a listed file is missing, the file with another ending of its format (``.nii`` or ``.nii.gz``) is used. If a
    listed image is missing, its channels may be separate files, as in nnU-Net's first version (``case_0000.nii.gz`` for
    ``case.nii.gz``).

    Args:
        file: the JSON file.

    Returns:
        Records under ``"training"``, ``"unlabelled"``, ``"validation"`` and ``"test"``. ``image`` is an absolute path
        or a list of paths, one per channel. ``label`` and ``weak_label`` are absolute paths. ``case`` is the entry's
        ``case``, or else the name of its image. A record has ``label``, ``weak_label`` and ``patient`` only if its
        entry has them. ``"test"`` holds only labelled cases.

    Raises:
        InputError: When the file or one of its entries cannot be used, a list of images has an unknown name, or a case
            name occurs twice.
    """
    return sections_of(Path(file), read_json(Path(file), "datalist"))


def sections_of(file: Path, content: Mapping[str, Any]) -> dict[str, list[Record]]:
    """Return the lists of :func:`read_sections`, given the content of a file, which need not exist."""
    sections = nnunet_sections(file.parent, content) if is_nnunet(content) else _listed_sections(file, content)
    sections["test"] = [record for record in sections["test"] if "label" in record]
    if not is_nnunet(content):
        sections = _found(sections, content)
    bare = [record["case"] for record in sections["validation"] if "label" not in record]
    if bare:
        raise InputError(f"datalist {file}: every 'validation' entry must have a label, got none for {listing(bare)}.")
    check_repeated_cases(_all(sections))
    return sections


def checked_sections(sections: Any, folder: Path) -> dict[str, list[Record]]:
    """Check the lists of a ``dataset_format`` and return them unchanged.

    Args:
        sections: the lists, in the form that :func:`read_sections` returns.
        folder: folder of the data set, for the error message.

    Raises:
        InputError: When a list is missing, a case has no name or image, or all lists are empty.
    """
    where = f"dataset_format of {folder}"
    if not isinstance(sections, Mapping) or any(not isinstance(sections.get(name), list) for name in SECTIONS):
        raise InputError(f"{where}: wanted the lists {', '.join(SECTIONS)}, got {str(sections)[:80]}.")
    for name in SECTIONS:
        for number, record in enumerate(sections[name]):
            for key, kinds in (("case", str), ("image", (str, list))):
                if not isinstance(record.get(key), kinds):
                    got = f"got {record.get(key)!r}"
                    raise InputError(f"{where}: case {number} of {name} must have '{key}' as text, {got}.")
    if not any(sections.values()):
        raise InputError(f"{where}: no case was found.")
    return dict(sections)


def wants_no_validation(file: str | os.PathLike[str]) -> bool:
    """Whether a data set's file has an empty list ``validation``; then no volume is held out for validation."""
    return read_json(Path(file), "datalist").get("validation") == []


def _listed_sections(file: Path, content: Mapping[str, Any]) -> dict[str, list[Record]]:
    if "training" not in content:
        raise InputError(f"datalist {file} must have a list 'training', got {', '.join(content) or 'nothing'}.")
    _check_same_lists(file, content)
    lists = {key: _records(content.get(key) or [], key, file) for key in (*SECTIONS, *SPELLINGS)}
    for spelling, key in SPELLINGS.items():
        lists[key] += lists.pop(spelling)
    return lists


def _check_same_lists(file: Path, content: Mapping[str, Any]) -> None:
    """Refuse a list of images under an unknown name, such as ``"val"``; its images would be lost unnoticed."""
    for key, entries in content.items():
        if key in (*SECTIONS, *SPELLINGS) or not isinstance(entries, list):
            continue
        if any(map(_is_image, entries)):
            raise InputError(
                f"datalist {file}: lists of images must be {', '.join(SECTIONS[:-1])} or {SECTIONS[-1]}, got '{key}'."
            )


def _is_image(entry: Any) -> bool:
    return "image" in entry if isinstance(entry, dict) else isinstance(entry, str) and entry.endswith(SUFFIXES)


def _records(entries: Any, key: str, file: Path) -> list[Record]:
    if not isinstance(entries, list):
        raise InputError(f"datalist {file}: '{key}' must be a list, got a {type(entries).__name__}.")
    records = []
    for number, entry in enumerate(entries, start=1):
        paths = {"image": entry} if isinstance(entry, str) else entry
        if not isinstance(paths, dict) or not _names_files(paths):
            wanted = "a path or {'image': path, 'label': path}"
            raise InputError(f"datalist {file}: entry {number} of '{key}' must be {wanted}, got {str(entry)[:80]}.")
        record = {k: _absolute(file.parent, paths[k]) for k in KEYS if paths.get(k)}
        patient = _patient(paths, f"datalist {file}: entry {number} of '{key}'")
        _check_label_values(record, paths, f"datalist {file}: entry {number} of '{key}'")
        records.append({**record, "case": _case(paths, record["image"]), **patient})
    return records


def _case(paths: Mapping[str, Any], image: str | list[str]) -> str:
    """The given name of a case, or that of its image; folders of DICOM series often have equal names."""
    given = paths.get("case")
    return given.strip() if isinstance(given, str) and given.strip() else case_name(image)


def _patient(paths: Mapping[str, Any], where: str) -> dict[str, str]:
    given = paths.get("patient")
    if "patient" not in paths:  # a patient under another key would be on both sides of a split
        others = [key for key in paths if "".join(filter(str.isalnum, key)).casefold() in OTHER_PATIENTS]
        if others:
            raise InputError(f"{where}: a patient must be called 'patient', got '{others[0]}': {paths[others[0]]!r}.")
    if given is None:
        return {}
    if isinstance(given, bool) or not isinstance(given, str | int) or not str(given).strip():
        raise InputError(f"{where}: 'patient' must be a name or a number, got {given!r}.")
    return {"patient": str(given).strip()}


def _check_label_values(record: Record, paths: Mapping[str, Any], where: str) -> None:
    """Refuse a label that is the image itself, and a label under another key, such as ``"mask"``."""
    for key in KEYS[1:]:
        if record.get(key) in image_files(record["image"]):
            raise InputError(f"{where}: '{key}' must be another file than 'image', got {record[key]} for both.")
    others = [k for k, v in paths.items() if k not in KEYS and isinstance(v, str) and v.endswith(SUFFIXES)]
    if "label" not in paths and others:
        raise InputError(f"{where}: a label must be called 'label', got '{others[0]}': {paths[others[0]]}.")


def _found(sections: Mapping[str, list[Record]], content: Mapping[str, Any]) -> dict[str, list[Record]]:
    """The records with the files that exist in place of the listed files."""
    names = content.get("channel_names") or content.get("modality")
    channels = len(names) if isinstance(names, Mapping | list) else 1
    found = {name: [_on_disk(record, channels) for record in records] for name, records in sections.items()}
    pairs = zip(sections["training"], found["training"], strict=True)
    if any(_is_by_channel(listed, now) for listed, now in pairs):  # a folder of nnU-Net's first version
        warn_of_unused({Path(file).parent for file in _files(found["training"])}, _files(_all(found)))
    return found


def _is_by_channel(listed: Record, now: Record) -> bool:
    return isinstance(listed["image"], str) and case_name(image_files(now["image"])[0]) != case_name(listed["image"])


def _all(sections: Mapping[str, list[Record]]) -> list[Record]:
    return [record for records in sections.values() for record in records]


def _files(records: Iterable[Record]) -> set[str]:
    return {file for record in records for file in (*image_files(record["image"]), record.get("label")) if file}


def _on_disk(record: Record, channels: int) -> Record:
    image = record["image"]
    found = (
        find_image(image, case_name(image), channels) if isinstance(image, str) else [find_file(file) for file in image]
    )
    label = {"label": find_file(record["label"])} if "label" in record else {}
    return {**record, "image": found, **label}


def _names_files(paths: Mapping[str, Any]) -> bool:
    image, label = paths.get("image"), paths.get("label")
    files = image if isinstance(image, list) else [image]
    return bool(files) and all(f and isinstance(f, str) for f in files) and (label is None or isinstance(label, str))


def _absolute(folder: Path, given: str | Iterable[str]) -> str | list[str]:
    return os.path.abspath(folder / given) if isinstance(given, str) else [os.path.abspath(folder / f) for f in given]
