"""The data list of paired files, in the form of a dataset.json."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semicl_monai.data.pairing.pairing import PairedCase, Pairing


def data_list(
    pairing: Pairing,
    folder: Path,
    modality: str | None,
    names: Mapping[int, str],
    ignore_value: int | None = None,
) -> dict[str, Any]:
    """Return the content of the JSON file, as :class:`semicl_monai.data.SegmentationDatalist` reads it.

    Images of a folder ``test`` or ``imagesTs`` without a label are listed under ``test``, where they are left out.

    Args:
        pairing: the pairs.
        folder: the folder that the file will lie in. Paths are relative to it if they share a folder with it.
        modality: the modality of the images, by default the names of the channels.
        names: names of the label values; empty if they are not known.
        ignore_value: label value of voxels that are not annotated, if there is one.
    """
    # only the user knows whether numbers are Hounsfield units: a file called ct.nii.gz may hold others
    are_ct = all(name.upper().startswith("CT") for name in pairing.channels)
    channels = [modality] if modality else [] if are_ct else list(pairing.channels)
    content: dict[str, Any] = {"modality": {str(n): name for n, name in enumerate(channels)}} if channels else {}
    labels = {**names} | ({} if ignore_value is None else {ignore_value: "ignore"})
    if labels:
        content["labels"] = {"0": "background", **{str(value): name for value, name in sorted(labels.items())}}
    lists: dict[str, list[dict[str, Any]]] = {"training": [], "unlabelled": [], "validation": [], "test": []}
    for case in pairing.cases:
        lists[_list_of(case)].append(_entry(case, folder))
    return content | {part: entries for part, entries in lists.items() if entries or part == "training"}


def _list_of(case: PairedCase) -> str:
    if case.label is not None:
        return case.part
    return "unlabelled" if case.part == "training" else "test"


def _entry(case: PairedCase, folder: Path) -> dict[str, Any]:
    files = [_path(image.file, folder) for image in case.images]
    entry: dict[str, Any] = {"image": files[0] if len(files) == 1 else files}
    entry |= {} if case.label is None else {"label": _path(case.label.file, folder)}
    entry |= {"case": case.case}
    return entry | ({"patient": case.patient} if case.patient else {})


def _path(file: str, folder: Path) -> str:
    """The path relative to the folder, so that both can be moved; absolute if they share no folder."""
    share = os.path.splitdrive(file)[0] == folder.drive and len(Path(os.path.commonpath([file, folder])).parts) > 1
    return Path(os.path.relpath(file, folder)).as_posix() if share else file
