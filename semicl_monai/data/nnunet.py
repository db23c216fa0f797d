"""The raw layout of nnU-Net: one file per channel."""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from semicl_monai.data.listing import listing
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import SEGMENTATION_SUFFIXES, SUFFIXES, format_of, without_suffix

CHANNEL = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")  # of a file name without its ending


def is_nnunet(content: Mapping[str, Any]) -> bool:
    """Whether a ``dataset.json`` has the form of nnU-Net's second version, which lists no files."""
    return "channel_names" in content and "training" not in content


def nnunet_sections(folder: Path, content: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """List the cases of an nnU-Net raw folder.

    Each file may have the ending of any format of :mod:`semicl_monai.utils.formats`, whatever ``file_ending`` says. If
    there is only one channel, an image file may lack the channel number (``case.nii.gz``). A warning names files that
    cannot be images or labels.

    Args:
        folder: a folder with ``imagesTr/case_0000.nii.gz`` (one file per channel) and ``labelsTr/case.nii.gz``.
            ``imagesTs`` and ``labelsTs`` are optional.
        content: the content of its ``dataset.json``: ``channel_names``, ``file_ending`` and ``numTraining``.

    Returns:
        The cases of ``imagesTr`` under ``"training"``, with or without a label, and the cases of ``imagesTs`` under
        ``"test"``. Both lists are sorted by case. With one channel, ``image`` is a path. With several, it is a list of
        paths.

    Raises:
        InputError: When the files are of no known format, no channel is named, there is no image, a channel is missing,
            a file occurs twice, a label has no image, or fewer cases than ``numTraining`` have a label.
    """
    channels = content["channel_names"]
    if not channels or not isinstance(channels, Mapping):
        raise InputError(f"{folder / 'dataset.json'}: 'channel_names' must name each channel, got {channels!r}.")
    ending = content.get("file_ending", ".nii.gz")
    if ending not in SUFFIXES:
        raise InputError(
            f"{folder / 'dataset.json'}: 'file_ending' must be one of {', '.join(SUFFIXES)}, got {ending!r}."
        )
    if "dataset" in content:
        raise InputError(f"{folder / 'dataset.json'}: nnU-Net's list 'dataset' is not read: write a list 'training'.")
    folder = Path(folder).absolute()
    lists = {part: _records(folder, part, ending, len(channels)) for part in ("Tr", "Ts")}
    if not lists["Tr"]:
        raise InputError(f"{folder / 'imagesTr'} must hold images like case_0000{ending}, got none.")
    odd = [file for part in lists for kind in ("images", "labels") for file in _others(folder / f"{kind}{part}")]
    _warn_of([*odd, *_of_other_parts(folder)])
    _check_number_of_labels(folder / "dataset.json", content.get("numTraining"), lists["Tr"], odd)
    return {"training": lists["Tr"], "unlabelled": [], "validation": [], "test": lists["Ts"]}


def cases_by_channels(files: Iterable[Path]) -> dict[str, dict[int, str]]:
    """Group files like ``case_0000.nii.gz`` by case name, then by channel number; other files are left out.

    Raises:
        InputError: When a channel of a case occurs twice, such as ``.nii`` and ``.nii.gz``.
    """
    cases: dict[str, dict[int, str]] = defaultdict(dict)
    for file in sorted(files):
        found = CHANNEL.fullmatch(without_suffix(file.name))
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


def find_file(listed: str) -> str:
    """Return a listed file, or if it is missing, the file with another ending of its format (``.nii``, ``.nii.gz``)."""
    there = [listed, *(other for other in _spellings(listed) if other != listed)]
    return next((file for file in there if Path(file).exists()), listed)


def find_image(listed: str, case: str, num_channels: int) -> str | list[str]:
    """Return a listed image, see :func:`find_file`, or its channels: ``case_0000.nii.gz`` for ``case.nii.gz``.

    If none of these files exists, the listed path is returned.

    Raises:
        InputError: When there are other channels than 0 to ``num_channels - 1``.
    """
    file = find_file(listed)
    if Path(file).exists():
        return file
    ending = listed.removeprefix(without_suffix(listed)) or ".nii.gz"
    names = {number: f"{case}_{number:04d}{ending}" for number in range(num_channels + 1)}  # and one too many
    files = {number: find_file(str(Path(listed).with_name(name))) for number, name in names.items()}
    channels = {number: channel for number, channel in files.items() if Path(channel).is_file()}
    return image_of(case, channels, num_channels) if channels else listed


def warn_of_unused(folders: Iterable[Path], used: Collection[str]) -> None:
    """Warn of unused files in some folders; hidden files are not named."""
    _warn_of(file for folder in sorted(folders) for file in _visible(folder) if str(file) not in used)


def _spellings(file: str) -> list[str]:
    """A file under the endings of its format; an image and its segmentation may differ in their ending alone."""
    found = format_of(file)
    if found is None or file.endswith(SEGMENTATION_SUFFIXES):
        return []
    return [f"{without_suffix(file)}{ending}" for ending in found.suffixes if ending not in SEGMENTATION_SUFFIXES]


def _of_other_parts(folder: Path) -> list[Path]:
    """The files of folders such as ``imagesVal``, which nnU-Net does not know."""
    known = [f"{kind}{part}" for kind in ("images", "labels") for part in ("Tr", "Ts")]
    others = [
        each for each in _visible(folder) if each.name.startswith(("images", "labels")) and each.name not in known
    ]
    return [file for other in others for file in _visible(other)]


def _warn_of(files: Iterable[Path]) -> None:
    names = [f"{file.parent.name}/{file.name}" for file in files]
    if names:
        warnings.warn(f"Files of the data set that are not used: {listing(names)}.", UserWarning, stacklevel=2)


def _check_number_of_labels(file: Path, wanted: Any, training: list[dict[str, Any]], odd: list[Path]) -> None:
    if wanted is None:
        return
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise InputError(f"{file}: 'numTraining' must be the number of labelled cases, got {wanted!r}.")
    bare = [record["case"] for record in training if "label" not in record]
    count = len(training) - len(bare)
    if count < wanted:
        without = f"none for {listing(bare)}" if bare else "every image has one"
        unused = f", and files of other names are {listing([f'{o.parent.name}/{o.name}' for o in odd])}" if odd else ""
        raise InputError(
            f"{file}: 'numTraining' is {wanted}, but {count} cases have a label: {without}{unused}; add the labels, or "
            f"write {count} if the others have none."
        )


def _records(folder: Path, part: str, ending: str, num_channels: int) -> list[dict[str, Any]]:
    images, labels = (_files(folder / f"{kind}{part}") for kind in ("images", "labels"))
    cases, label_of = cases_by_channels(images), _by_case(labels, "label")
    numberless = _by_case([file for file in images if not CHANNEL.fullmatch(without_suffix(file.name))], "image")
    if part == "Ts":  # an image without a label is no test image, whatever its name
        numberless = {case: file for case, file in numberless.items() if case in label_of}
    _add_single_channels(cases, numberless, num_channels, ending)
    lost = sorted(set(label_of) - set(cases))
    if lost:
        raise InputError(f"case {lost[0]}: label {label_of[lost[0]]} has no image {lost[0]}_0000{ending}.")
    records = [{"image": image_of(case, cases[case], num_channels), "case": case} for case in sorted(cases)]
    return [{**r, "label": label_of[r["case"]]} if r["case"] in label_of else r for r in records]


def _add_single_channels(
    cases: dict[str, dict[int, str]], numberless: Mapping[str, str], num_channels: int, ending: str
) -> None:
    """Add images without a channel number; this is allowed only if there is one channel."""
    for case, file in numberless.items():
        if num_channels > 1:
            raise InputError(f"case {case}: wanted one file per channel, {case}_0000{ending} and so on, got {file}.")
        if case in cases:
            raise InputError(f"case {case}: wanted one image file, got {cases[case][min(cases[case])]} and {file}.")
        cases[case] = {0: file}


def _by_case(files: Iterable[Path], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(files):
        case = without_suffix(file.name)
        if case in found:
            raise InputError(f"case {case}: wanted one {kind} file, got {found[case]} and {file}.")
        found[case] = str(file)
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.name[0] != ".") if folder.is_dir() else []


def _files(folder: Path) -> list[Path]:
    return [file for file in _visible(folder) if _is_listed(file)]


def _others(folder: Path) -> list[Path]:
    return [file for file in _visible(folder) if not _is_listed(file)]


def _is_listed(file: Path) -> bool:
    """Whether a file is named like an image or a label; a broken link counts too, so that it is refused later."""
    return file.name.endswith(SUFFIXES) and (file.is_file() or not file.exists())
