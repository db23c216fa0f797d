"""Names of label segments, as the client stored them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from semicl_monai.data.study_folder import as_dict, find_study_folder
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume

Names = dict[int, str]  # by their value in a label


def check_label_names(
    records: Sequence[Mapping[str, Any]],
    class_names: Sequence[str],
    ignore_value: int | None = None,
    regions: Sequence[Sequence[int]] | None = None,
) -> None:
    """Compare the segment names that a client of MONAI Label has stored with the class names.

    3D Slicer numbers the segments of a label by their order. If a segment is moved or deleted, the classes of other
    segments change. Upper and lower case are the same. Only the values that a label holds are compared. A label without
    stored names passes. So does a label whose file names its segments, because it is read by these names. Records that
    are not studies of MONAI Label pass too.

    Args:
        records: ``{"image": path, "label": path}`` of each labelled volume.
        class_names: names of the classes without background.
        ignore_value: value of voxels that are not annotated, if there is one. Its segment is called ``ignore``.
        regions: class numbers of each class, if the classes are regions. They overlap, but segments do not, so that
            labels of MONAI Label are refused.

    Raises:
        InputError: When the name of a label value differs from the name of its class, the value has no class, or the
            classes are regions.
    """
    folder = find_study_folder(records)
    if folder is None:
        return
    if regions is not None:
        raise InputError(
            f"{folder.datastore}: MONAI Label has one segment for each voxel, but the classes of this bundle are "
            f"regions that share voxels ({', '.join(class_names)}): train it from a data list."
        )
    wanted_names = dict(enumerate(class_names, 1)) | ({} if ignore_value is None else {ignore_value: "ignore"})
    for record in map(folder.record, records):
        readings = _readings(folder.info(record["case"]))
        wrong = _first_wrong(readings, record["label"], wanted_names)
        if wrong:
            value, name, wanted = wrong
            found = f"value {value} of its label is '{name}' in {folder.datastore}, wanted {wanted}"
            order = f"segments must stand in the order of class_names: {', '.join(class_names)}"
            raise InputError(f"study {record['case']}: {found}; {order}.")


def segment_names(records: Iterable[Mapping[str, Any]]) -> Names:
    """Return the names of the segments in labels that name them (``.seg.nrrd``), numbered as they first appear.

    Args:
        records: ``{"label": path}`` of each labelled volume. Labels without named segments are passed over.
    """
    names: dict[str, str] = {}
    for record in records:
        for name in _segments(record["label"]).values():
            names.setdefault(_plain(name), name)
    names.pop("background", None)
    return dict(enumerate(names.values(), 1))


def _segments(label: str) -> Names:
    """The names of the segments in the file of a label; empty if it does not name them."""
    with suppress(Exception):  # the loader says what is wrong with a label that cannot be read
        return open_volume(label).segments or {}
    return {}


def _first_wrong(readings: list[Names], label: str, class_names: Names) -> tuple[int, str, str] | None:
    if not any(_wrong(names, class_names) for names in readings):
        return None  # no value can be wrong, so that the label need not be read
    if _segments(label):
        return None
    values = _values(label)
    fitting = [names for names in readings if values <= set(names)] or readings
    held = [{value: name for value, name in names.items() if value in values} for names in fitting]
    return next(filter(None, (_wrong(names, class_names) for names in held)), None)


def _wrong(names: Names, wanted: Names) -> tuple[int, str, str] | None:
    """The first value whose name differs from that of its class, then this name and the wanted one."""
    for value, name in sorted(names.items()):
        if value not in wanted:
            return value, name, f"no value above {max(wanted, default=0)}"
        if _plain(name) != _plain(wanted[value]):
            return value, name, f"'{wanted[value]}'"
    return None


def _readings(info: Mapping[str, Any]) -> list[Names]:
    """Names by value, once for each possible reading; empty if no names are stored."""
    segments = info.get("label_info")
    if isinstance(segments, list) and segments:
        return _of_segments([entry for entry in segments if isinstance(as_dict(entry).get("name"), str)])
    names = as_dict(info.get("params")).get("label_names") or info.get("label_names")
    if isinstance(names, list):
        names = {name: number for number, name in enumerate((n for n in names if _plain(n) != "background"), 1)}
    by_value = {_number(value): str(name) for name, value in as_dict(names).items()}
    return [{value: name for value, name in by_value.items() if value}]


# Slicer's idx also counts segments that are not saved, such as a background. The label values do not count them.
def _of_segments(segments: list[dict[str, Any]]) -> list[Names]:
    in_order = sorted(segments, key=lambda segment: _number(segment.get("idx")) or 0)
    by_order = {number: segment["name"] for number, segment in enumerate(in_order, 1)}
    numbers = [_number(segment.get("idx")) for segment in in_order]
    by_index = {number: segment["name"] for number, segment in zip(numbers, in_order, strict=True) if number}
    return [by_order] if len(by_index) < len(segments) else [by_order, by_index]


def _number(value: Any) -> int | None:
    return int(value) if str(value).isdigit() else None


def _plain(name: Any) -> str:
    return str(name).strip().casefold()


def _values(label: str) -> set[int]:
    try:
        values = np.unique(open_volume(label).read())
    except Exception:  # the loader says what is wrong with a label that cannot be read
        return set()
    return {int(value) for value in values[np.isfinite(values)] if value > 0}
