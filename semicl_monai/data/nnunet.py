"""The raw layout of nnU-Net: a file a channel."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")  # of a file name without its ending


def is_nnunet(content: Mapping[str, Any]) -> bool:
    """Whether a ``dataset.json`` is that of nnU-Net's second version, which lists no files."""
    return "channel_names" in content and "training" not in content


def nnunet_sections(folder: Path, content: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """List the cases of an nnU-Net raw folder.

    Args:
        folder: with ``imagesTr/case_0000.nii.gz`` (a file a channel), ``labelsTr/case.nii.gz``, and perhaps
            ``imagesTs`` and ``labelsTs``.
        content: of its ``dataset.json``: ``channel_names`` and ``file_ending``.

    Returns:
        ``"training"`` of ``imagesTr``, with or without a label, and ``"test"`` of ``imagesTs``; both sorted by case.
        ``image`` is a path where there is one channel, and else a list of them.

    Raises:
        InputError: When the files are not NIfTI, no channel is named, there is no image, a channel is missing, or a
            label has no image.
    """
    channels = content["channel_names"]
    if not channels or not isinstance(channels, Mapping):
        raise InputError(f"{folder / 'dataset.json'}: 'channel_names' must name each channel, got {channels!r}.")
    ending = content.get("file_ending", ".nii.gz")
    if ending not in (".nii", ".nii.gz"):
        raise InputError(f"{folder / 'dataset.json'}: 'file_ending' must be .nii or .nii.gz, got {ending!r}.")
    lists = {part: _records(folder, part, ending, len(channels)) for part in ("Tr", "Ts")}
    if not lists["Tr"]:
        raise InputError(f"{folder / 'imagesTr'} must hold images like case_0000{ending}, got none.")
    return {"training": lists["Tr"], "unlabelled": [], "validation": [], "test": lists["Ts"]}


def cases_by_channels(files: Iterable[Path]) -> dict[str, dict[int, str]]:
    """Group NIfTI files like ``case_0000.nii.gz``: case name to channel number to path; others are left out.

    Raises:
        InputError: When a channel of a case is there twice, as ``.nii`` and as ``.nii.gz``.
    """
    cases: dict[str, dict[int, str]] = defaultdict(dict)
    for file in sorted(files):
        found = CHANNEL.fullmatch(file.name.removesuffix(".gz").removesuffix(".nii"))
        if found:
            channels, number = cases[found["case"]], int(found["channel"])
            if number in channels:
                raise InputError(f"case names must differ, got '{found[0]}' for {channels[number]} and {file}.")
            channels[number] = str(file)
    return cases


def image_of(case: str, channels: Mapping[int, str], num_channels: int) -> str | list[str]:
    """Return the path of a case's image, or the paths of its channels.

    Raises:
        InputError: When there are other channels than 0 to ``num_channels - 1``.
    """
    if sorted(channels) != list(range(num_channels)):
        got = ", ".join(f"{channel:04d}" for channel in sorted(channels))
        raise InputError(f"case {case}: wanted the channels 0000 to {num_channels - 1:04d}, got {got}.")
    return channels[0] if num_channels == 1 else [channels[number] for number in range(num_channels)]


def _records(folder: Path, part: str, ending: str, num_channels: int) -> list[dict[str, Any]]:
    images, labels = (_files(folder / f"{kind}{part}", ending) for kind in ("images", "labels"))
    cases = cases_by_channels(images)
    label_of = {label.name.removesuffix(ending): str(label) for label in labels}
    lost = sorted(set(label_of) - set(cases))
    if lost:
        raise InputError(f"case {lost[0]}: label {label_of[lost[0]]} has no image {lost[0]}_0000{ending}.")
    records = [{"image": image_of(case, found, num_channels), "case": case} for case, found in cases.items()]
    return [{**r, "label": label_of[r["case"]]} if r["case"] in label_of else r for r in records]


def _files(folder: Path, ending: str) -> list[Path]:
    folder = Path(folder).absolute()
    return [file for file in folder.glob(f"*{ending}") if file.name[0] != "."] if folder.is_dir() else []
