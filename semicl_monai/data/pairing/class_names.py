"""Names of the classes, from an option or from a table of BIDS."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from semicl_monai.data.pairing.named_file import NamedFile
from semicl_monai.utils import InputError

TABLE = "dseg.tsv"


def parse_class_names(given: str | Sequence[str]) -> dict[int, str]:
    """Return the names of the label values 1, 2, ...; ``name=5`` gives the value of a name.

    Raises:
        InputError: When a name is empty or occurs twice, or a value is no whole number or occurs twice.

    Example:
        >>> parse_class_names("liver, tumour"), parse_class_names("left ventricle=500,myocardium=205")
        ({1: 'liver', 2: 'tumour'}, {500: 'left ventricle', 205: 'myocardium'})
    """
    entries = given.strip("[]()").split(",") if isinstance(given, str) else [str(each) for each in given]
    pairs = [each.rpartition("=") if "=" in each else (each, "", number) for number, each in enumerate(entries, 1)]
    names: dict[int, str] = {}
    for key, _, number in pairs:
        name, value = key.strip().strip("'\""), str(number).strip()
        if not name or not value.isdecimal() or int(value) in {0, *names} or name in names.values():
            raise InputError(
                "class_names must be names that differ, such as 'liver,tumour' or 'liver=1,tumour=5', got "
                f"'{given if isinstance(given, str) else ','.join(entries)}'."
            )
        names[int(value)] = name
    return names


def names_of_table(labels: Iterable[NamedFile]) -> dict[int, str]:
    """Return the names in the table of BIDS (``dseg.tsv``) beside the labels or above; empty without one.

    The folders above a label are searched up to the root of the labels.

    Raises:
        InputError: When tables differ, or one has no columns ``index`` and ``name``.
    """
    folders = {above for label in labels for above in list(Path(label.file).parents)[: len(label.parts)]}
    tables = sorted(file for folder in folders for file in folder.glob(f"*{TABLE}") if file.name[0] != ".")
    found = {file: _read(file) for file in tables}
    for file, names in found.items():
        if names != found[tables[0]]:
            raise InputError(f"tables of classes must be equal, got {tables[0]} and {file}: give --class_names.")
    return found[tables[0]] if found else {}


def _read(file: Path) -> dict[int, str]:
    try:
        rows = list(csv.DictReader(file.read_text(encoding="utf-8-sig").splitlines(), delimiter="\t"))
        names = {int(row["index"]): row["name"].strip() for row in rows}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file} must have columns 'index' and 'name': correct it, or give --class_names.") from error
    return {value: name for value, name in names.items() if value}
