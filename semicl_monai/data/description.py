"""The names a data set's own ``dataset.json`` gives its channels and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError, check_number_signs, read_json


def read_description(file: str | Path) -> tuple[list[str], dict[int, str]]:
    """Return the names of the channels and of the label values, background left out; nothing of what it does not name.

    Both forms are known, the Decathlon's ``{"1": "Anterior"}`` and nnU-Net's ``{"Anterior": 1}``.

    Args:
        file: a ``dataset.json``.

    Raises:
        InputError: When the name of a channel is no text, a label stands for several values, as the regions of nnU-Net
            do, for no whole number, or for voxels to ignore, two stand for the same, two have one name, one is called
            ``mean``, one that is not 0 has no name, one of several lines or that of the background, or a name would be
            run as code in a config or holds ``#``.
    """
    content = read_json(Path(file), "datalist")
    names = _channels(content, file)
    given = content.get("labels") or {}
    if not isinstance(given, Mapping):
        raise InputError(f"{file}: 'labels' must be an object of names and values, got a {type(given).__name__}.")
    labels: dict[int, str] = {}
    for key, entry in given.items():
        value, name = _value_and_name(key, entry, file)
        if value in labels:
            raise InputError(f"{file}: 'labels' must differ, got {value} for {labels[value]} and {name}.")
        labels[value] = name
    labels.pop(0, None)
    _check_has_class(labels, file)
    _check_names_differ(list(labels.values()), file)
    _check_no_code([*names, *labels.values()], file)
    return names, labels


def check_class_values(file: str | Path, class_names: Sequence[str], label_values: Sequence[int] | None = None) -> None:
    """Refuse classes in another order than the data set's own ``dataset.json`` names them.

    Names are compared without regard to case. A name that the file does not have passes, as does a file that names no
    classes, or none that this project can use.

    Args:
        file: a ``dataset.json``.
        class_names: names of the classes without background.
        label_values: value of each of them in a label file, by default 1, 2, ...

    Raises:
        InputError: When a class has the name that the file gives to the value of another one.
    """
    try:
        values = {name.casefold(): value for value, name in read_description(file)[1].items()}
    except InputError:
        return
    of_classes = label_values or range(1, len(class_names) + 1)
    # labels may hold the numbers of the classes too
    for (number, name), value in zip(enumerate(class_names, 1), of_classes, strict=False):
        found = values.get(str(name).casefold())
        if found not in (None, number, value):
            raise InputError(
                f"{file} calls the label value {found} '{name}', which is class {number} of class_names "
                f"({', '.join(map(str, class_names))}): give them in the order of their values."
            )


def _channels(content: Mapping[str, Any], file: str | Path) -> list[str]:
    """The names of the channels, in the order of their numbers."""
    key = "channel_names" if content.get("channel_names") else "modality"
    given = content.get(key) or []
    if isinstance(given, Mapping):
        by_number = all(str(number).isdecimal() for number in given)
        given = [given[number] for number in (sorted(given, key=int) if by_number else given)]
    names = given if isinstance(given, list) else [given]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise InputError(
            f"{file}: '{key}' must name each channel by its number, as in {{'0': 'CT'}}, got {wrong[0]!r}."
        )
    return [name.strip() for name in names]


def _value_and_name(key: str, entry: Any, file: str | Path) -> tuple[int, str]:
    value, name = (key, entry) if str(key).isdecimal() and isinstance(entry, str) else (entry, key)
    if not str(value).isdecimal():
        raise InputError(f"{file}: 'labels' must name one whole number each, got {value!r} for {name}.")
    if str(name) == "ignore":
        raise InputError(f"{file}: 'labels' must not hold nnU-Net's 'ignore': voxels cannot be left out.")
    return int(value), str(name)


def _check_names_differ(names: Sequence[str], file: str | Path) -> None:
    for name in names:
        if name == "mean" or names.count(name) > 1:
            raise InputError(f"{file}: 'labels' must have names that differ, none of them 'mean', got '{name}'.")


def _check_has_class(labels: Mapping[int, str], file: str | Path) -> None:
    for value, name in labels.items():
        if name.strip().casefold() in ("", "background"):
            raise InputError(f"{file}: 'labels' must name a class for {value}, got '{name}'; background is 0.")
        if not name.isprintable():
            raise InputError(f"{file}: 'labels' must have names of one line, got {name!r} for {value}.")


def _check_no_code(names: Sequence[Any], file: str | Path) -> None:
    for name in names:
        if str(name).startswith(("$", "@", "%")):
            raise InputError(f"{file}: a name must not begin with $, @ or %, which configs run, got {name!r}.")
    check_number_signs({f"{file}: a name": [str(name) for name in names]})
