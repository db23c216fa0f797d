"""Names of channels and classes in a data set's own ``dataset.json``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError, check_number_signs, read_json


@dataclass(frozen=True)
class LabelRules:
    """What a ``dataset.json`` says about labels that are not complete or not exclusive.

    Args:
        ignore_value: value of voxels that are not annotated; ``None`` if there is none.
        regions: label values of each region, by its name; empty if labels are classes.
        regions_class_order: the value that a mask gets from each region, the first region first.
    """

    ignore_value: int | None = None
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    regions_class_order: tuple[int, ...] = ()

    def values(self) -> list[int]:
        """Return the sorted label values of all regions."""
        return sorted({value for region in self.regions.values() for value in region})


def read_description(file: str | Path) -> tuple[list[str], dict[int, str]]:
    """Return the names of the channels and of the label values without background.

    Labels may have the Decathlon's form ``{"1": "Anterior"}`` or nnU-Net's form ``{"Anterior": 1}``. Channels or labels
    that the file does not name are missing from the result. A label called ``ignore`` is left out, and if the labels
    are regions there is no name of a value: see :func:`read_label_rules`.

    Args:
        file: a ``dataset.json``.

    Raises:
        InputError: When a channel or a label is described in a way that cannot be used:

            * The name of a channel is not text.
            * The value of a label is neither one whole number nor a list of them.
            * The regions, their order or the value of ``ignore`` cannot be used.
            * Two labels have the same value or the same name.
            * A label is called ``mean``.
            * A label above 0 has no name, a name of several lines or the name of the background.
            * A config would run a name as code, or a name holds ``#``.
    """
    content = read_json(Path(file), "datalist")
    names = _channels(content, file)
    rules = read_label_rules(file)
    labels: dict[int, str] = {}
    for value, name in [] if rules.regions else _classes(content, file):
        if value in labels:
            raise InputError(f"{file}: 'labels' must differ, got {value} for {labels[value]} and {name}.")
        labels[value] = name
    labels.pop(0, None)
    _check_has_class(labels, f"{file}: 'labels'")
    _check_names_differ([*labels.values(), *rules.regions], f"{file}: 'labels'")
    _check_no_code([*names, *labels.values(), *rules.regions], file)
    return names, labels


def split_names(names: Mapping[int, str], where: str) -> tuple[dict[int, str], LabelRules]:
    """Return the names of the classes, and the value of the name ``ignore`` if it is among them.

    Args:
        names: names by their label values, as a user has given them.
        where: the option or file that they come from, for the error.

    Raises:
        InputError: When a name cannot be used, as in :func:`read_description`, or ``ignore`` is not the highest value.

    Example:
        >>> split_names({1: "liver", 2: "ignore"}, "class_names")
        ({1: 'liver'}, LabelRules(ignore_value=2, regions={}, regions_class_order=()))
    """
    classes = {value: name for value, name in names.items() if not is_ignore(name)}
    _check_has_class(classes, where)
    _check_names_differ(list(classes.values()), where)
    _check_no_code(list(classes.values()), where)
    return classes, LabelRules(_ignore_value([(name, value) for value, name in names.items()], list(classes), where))


def read_label_rules(file: str | Path) -> LabelRules:
    """Return which label values mean regions, and which value means voxels to ignore.

    Labels are regions if one of them has several values, as in nnU-Net: ``"whole tumour": [1, 2, 3]``.

    Args:
        file: a ``dataset.json``.

    Raises:
        InputError: When ``ignore`` is not one whole number above all other values, when a region is empty or holds
            something else than whole numbers from 1, or when ``regions_class_order`` does not give one of these values
            to each region.
    """
    content = read_json(Path(file), "datalist")
    regions = _regions(content, file)
    values = [value for region in regions.values() for value in region] or [v for v, _ in _classes(content, file)]
    ignored = _ignore_value(_labels(content, file), values, f"{file}: 'labels'")
    rules = LabelRules(ignored, regions, _order(content, regions, file))
    _check_has_class(dict(enumerate(regions, 1)), f"{file}: 'labels'")
    return rules


def is_ignore(name: Any) -> bool:
    """Whether a label of this name marks voxels that are not annotated."""
    return str(name).strip().casefold() == "ignore"


def _labels(content: Mapping[str, Any], file: str | Path) -> list[tuple[str, Any]]:
    """The name and the value or values of each label."""
    given = content.get("labels") or {}
    if not isinstance(given, Mapping):
        raise InputError(f"{file}: 'labels' must be an object of names and values, got a {type(given).__name__}.")
    pairs = [
        (key, entry) if str(key).isdecimal() and isinstance(entry, str) else (entry, key)
        for key, entry in given.items()
    ]
    return [(str(name), _only(value)) for value, name in pairs]


def _only(value: Any) -> Any:
    """A list of one value is that value, as in nnU-Net."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _classes(content: Mapping[str, Any], file: str | Path) -> list[tuple[int, str]]:
    """Value and name of each label that is one value, without the one to ignore."""
    found = [(name, value) for name, value in _labels(content, file) if not is_ignore(name)]
    return [(_whole_value(value, name, f"{file}: 'labels'"), name) for name, value in found]


def _regions(content: Mapping[str, Any], file: str | Path) -> dict[str, tuple[int, ...]]:
    labels = [(name, value) for name, value in _labels(content, file) if not is_ignore(name)]
    if not any(isinstance(value, list) for _, value in labels):
        return {}
    regions = {}
    for name, entry in labels:
        given = entry if isinstance(entry, list) else [entry]
        values = tuple(_whole_value(value, name, f"{file}: 'labels'") for value in given)
        if not values or (0 in values and values != (0,)) or len(set(values)) < len(values):
            raise InputError(f"{file}: 'labels' must give a region different values from 1, got {entry} for {name}.")
        regions[name] = values
    return {name: values for name, values in regions.items() if values != (0,)}


def _ignore_value(labels: Sequence[tuple[str, Any]], values: Sequence[int], where: str) -> int | None:
    found = [(name, value) for name, value in labels if is_ignore(name)]
    if not found:
        return None
    value = _whole_value(found[0][1], found[0][0], where)
    if len(found) > 1 or value <= max([0, *values]):
        raise InputError(
            f"{where} must give 'ignore' one value above all others, which go to {max([0, *values])}, got "
            f"{', '.join(str(each) for _, each in found)}."
        )
    return value


def _order(content: Mapping[str, Any], regions: Mapping[str, Sequence[int]], file: str | Path) -> tuple[int, ...]:
    if not regions:
        return ()
    order, known = content.get("regions_class_order"), {value for region in regions.values() for value in region}
    if not isinstance(order, list) or len(order) != len(regions) or not all(_is_value(each, known) for each in order):
        raise InputError(
            f"{file}: 'regions_class_order' must be a list of {len(regions)} values of labels, the value that masks "
            f"get from each of {', '.join(regions)}, got {order!r}."
        )
    return tuple(order)


def _is_value(value: Any, known: Collection[int]) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value in known


def check_class_values(
    file: str | Path,
    class_names: Sequence[str],
    label_values: Sequence[int] | None = None,
    regions: Sequence[Sequence[int]] | None = None,
) -> None:
    """Refuse classes in another order than in the data set's own ``dataset.json``.

    Upper and lower case are the same. A class name that is not in the file passes. A file without class names passes
    too, and so does a file whose class names this project cannot use.

    Args:
        file: a ``dataset.json``.
        class_names: names of the classes without background.
        label_values: value of each class in a label file, by default 1, 2, ...
        regions: class numbers of each of ``class_names``, if these are regions.

    Raises:
        InputError: When the file gives the name of a class to the value of another class, or the name of a region to
            other values.
    """
    if regions is not None:
        _check_regions(file, class_names, label_values, regions)
        return
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


def _check_regions(
    file: str | Path, names: Sequence[str], label_values: Sequence[int] | None, regions: Sequence[Sequence[int]]
) -> None:
    try:
        found = {name.casefold(): set(values) for name, values in read_label_rules(file).regions.items()}
    except InputError:
        return
    for name, region in zip(names, regions, strict=False):
        values = {label_values[number - 1] if label_values else number for number in region}
        given = found.get(str(name).casefold(), values)
        if given not in (values, set(region)):
            raise InputError(f"{file} gives the values {sorted(given)} to '{name}', but regions give {sorted(values)}.")


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


def _whole_value(value: Any, name: str, where: str) -> int:
    if not str(value).isdecimal():
        raise InputError(f"{where} must give each name one whole number, got {value!r} for {name}.")
    return int(value)


def _check_names_differ(names: Sequence[str], where: str) -> None:
    for name in names:
        if name == "mean" or names.count(name) > 1:
            raise InputError(f"{where} must have names that differ, none of them 'mean', got '{name}'.")


def _check_has_class(labels: Mapping[int, str], where: str) -> None:
    for value, name in labels.items():
        if name.strip().casefold() in ("", "background"):
            raise InputError(f"{where} must name a class for {value}, got '{name}'; background is 0.")
        if not name.isprintable():
            raise InputError(f"{where} must have names of one line, got {name!r} for {value}.")


def _check_no_code(names: Sequence[Any], file: str | Path) -> None:
    for name in names:
        if str(name).startswith(("$", "@", "%")):
            raise InputError(f"{file}: a name must not begin with $, @ or %: configs run it as code, got {name!r}.")
    check_number_signs({f"{file}: a name": [str(name) for name in names]})
