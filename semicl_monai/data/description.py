"""The names a data set's own ``dataset.json`` gives its channels and classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError, read_json, refuse_number_signs


def read_description(file: str | Path) -> tuple[list[str], dict[int, str]]:
    """Return the names of the channels and of the label values, background left out; nothing of what it does not name.

    Both forms are known, the Decathlon's ``{"1": "Anterior"}`` and nnU-Net's ``{"Anterior": 1}``.

    Args:
        file: a ``dataset.json``.

    Raises:
        InputError: When a label stands for several values, as the regions of nnU-Net do, for no whole number, or for
            voxels to ignore, two stand for the same, two have one name, one is called ``mean``, one that is not 0 has
            no name, one of several lines or that of the background, or a name would be run as code in a config or
            holds ``#``.
    """
    content = read_json(Path(file), "datalist")
    channels = content.get("channel_names") or content.get("modality") or {}
    names = list(channels.values()) if isinstance(channels, Mapping) else channels
    names = names if isinstance(names, list) else [names]
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
    _refuse_no_class(labels, file)
    _refuse_one_name(list(labels.values()), file)
    _refuse_code([*names, *labels.values()], file)
    return [str(name).strip() for name in names], labels


def _value_and_name(key: str, entry: Any, file: str | Path) -> tuple[int, str]:
    value, name = (key, entry) if str(key).isdecimal() and isinstance(entry, str) else (entry, key)
    if not str(value).isdecimal():
        raise InputError(f"{file}: 'labels' must name one whole number each, got {value!r} for {name}.")
    if str(name) == "ignore":
        raise InputError(f"{file}: 'labels' must not hold nnU-Net's 'ignore': voxels cannot be left out.")
    return int(value), str(name)


def _refuse_one_name(names: Sequence[str], file: str | Path) -> None:
    for name in names:
        if name == "mean" or names.count(name) > 1:
            raise InputError(f"{file}: 'labels' must have names that differ, none of them 'mean', got '{name}'.")


def _refuse_no_class(labels: Mapping[int, str], file: str | Path) -> None:
    for value, name in labels.items():
        if name.strip().casefold() in ("", "background"):
            raise InputError(f"{file}: 'labels' must name a class for {value}, got '{name}'; background is 0.")
        if not name.isprintable():
            raise InputError(f"{file}: 'labels' must have names of one line, got {name!r} for {value}.")


def _refuse_code(names: Sequence[Any], file: str | Path) -> None:
    for name in names:
        if str(name).startswith(("$", "@", "%")):
            raise InputError(f"{file}: a name must not begin with $, @ or %, which configs run, got {name!r}.")
    refuse_number_signs({f"{file}: a name": [str(name) for name in names]})
