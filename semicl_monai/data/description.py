"""Names of channels and classes in a data set's own ``dataset.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError, check_number_signs, read_json


def read_description(file: str | Path) -> tuple[list[str], dict[int, str]]:
    """Return the names of the channels and of the label values without background.

    Labels may have the Decathlon's form ``{"1": "Anterior"}`` or nnU-Net's form ``{"Anterior": 1}``. Channels or labels
    that the file does not name are missing from the result.

    Args:
        file: a ``dataset.json``.

    Raises:
        InputError: When a channel or a label is described in a way that cannot be used:

            * The name of a channel is not text.
            * The value of a label is not one whole number. The regions of nnU-Net have several values.
            * A label marks voxels to ignore.
            * Two labels have the same value or the same name.
            * A label is called ``mean``.
            * A label above 0 has no name, a name of several lines or the name of the background.
            * A config would run a name as code, or a name holds ``#``.
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
    """Refuse classes in another order than in the data set's own ``dataset.json``.

    Upper and lower case are the same. A class name that is not in the file passes. A file without class names passes
    too, and so does a file whose class names this project cannot use.

    Args:
        file: a ``dataset.json``.
        class_names: names of the classes without background.
        label_values: value of each class in a label file, by default 1, 2, ...

    Raises:
        InputError: When the file gives the name of a class to the value of another class.
    """
    try:
        values = {name.casefold(): value for value, name in read_description(file)[1].items()}
    except InputError:
        return
    of_classes = label_values or range(1, len(class_names) + 1)
    # a label file may hold the class numbers instead of these values
    for (number, name), value in zip(enumerate(class_names, 1), of_classes, strict=False):
        found = values.get(str(name).casefold())
        if found not in (None, number, value):
            raise InputError(
                f"{file} calls the label value {found} '{name}', but class {number} of class_names "
                f"({', '.join(map(str, class_names))}) has that name: order class_names by their label values."
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
        raise InputError(f"{file}: 'labels' must give each name one whole number, got {value!r} for {name}.")
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
            raise InputError(f"{file}: a name must not begin with $, @ or %: configs run it as code, got {name!r}.")
    check_number_signs({f"{file}: a name": [str(name) for name in names]})
