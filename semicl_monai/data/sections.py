"""What a data set's own description says it holds, as lists of records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semicl_monai.data.images import case_name, refuse_repeated_cases
from semicl_monai.data.nnunet import is_nnunet, nnunet_sections
from semicl_monai.utils import InputError, read_json

Record = dict[str, Any]
SECTIONS = ("training", "unlabelled", "validation", "test")


# not monai.data.load_decathlon_datalist: it takes plain paths only under "test", and fails when that list is empty
def read_sections(file: str | os.PathLike) -> dict[str, list[Record]]:
    """Read a Decathlon, a plain or an nnU-Net ``dataset.json``.

    Args:
        file: the JSON file.

    Returns:
        Records under ``"training"``, ``"unlabelled"``, ``"validation"`` and ``"test"``: ``image`` is an absolute path,
        or a list of them, one a channel; ``label``, where there is one, an absolute path; ``case`` the case's name.
        ``"test"`` holds labelled cases only.

    Raises:
        InputError: When the file, or an entry of it, cannot be used, or a case name occurs twice.
    """
    file = Path(file)
    content = read_json(file, "datalist")
    sections = nnunet_sections(file.parent, content) if is_nnunet(content) else _listed_sections(file, content)
    sections["test"] = [record for record in sections["test"] if "label" in record]
    bare = [record["case"] for record in sections["validation"] if "label" not in record]
    if bare:
        raise InputError(f"datalist {file}: every 'validation' entry must have a label, got none for {listing(bare)}.")
    refuse_repeated_cases(record for records in sections.values() for record in records)
    return sections


def listing(names: list[str], most: int = 5) -> str:
    """Return the first names and how many more there are, for an error.

    Example:
        >>> listing(["a", "b", "c"], most=2)
        'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _listed_sections(file: Path, content: Mapping[str, Any]) -> dict[str, list[Record]]:
    if "training" not in content:
        raise InputError(f"datalist {file} must have a list 'training', got {', '.join(content) or 'nothing'}.")
    lists = {key: _records(content.get(key) or [], key, file) for key in (*SECTIONS, "unlabeled")}
    lists["unlabelled"] += lists.pop("unlabeled")
    return lists


def _records(entries: Any, key: str, file: Path) -> list[Record]:
    if not isinstance(entries, list):
        raise InputError(f"datalist {file}: '{key}' must be a list, got a {type(entries).__name__}.")
    records = []
    for number, entry in enumerate(entries, start=1):
        paths = {"image": entry} if isinstance(entry, str) else entry
        if not isinstance(paths, dict) or not _names_files(paths):
            wanted = "a path or {'image': path, 'label': path}"
            raise InputError(f"datalist {file}: entry {number} of '{key}' must be {wanted}, got {str(entry)[:80]}.")
        record = {k: _absolute(file.parent, paths[k]) for k in ("image", "label") if paths.get(k)}
        records.append({**record, "case": case_name(record["image"])})
    return records


def _names_files(paths: Mapping[str, Any]) -> bool:
    image, label = paths.get("image"), paths.get("label")
    files = image if isinstance(image, list) else [image]
    return bool(files) and all(f and isinstance(f, str) for f in files) and (label is None or isinstance(label, str))


def _absolute(folder: Path, given: str | Iterable[str]) -> str | list[str]:
    return os.path.abspath(folder / given) if isinstance(given, str) else [os.path.abspath(folder / f) for f in given]
