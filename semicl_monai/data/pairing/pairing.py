"""Images and labels, paired by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.ambiguities import check_matches
from semicl_monai.data.pairing.cases import name_cases, name_patients
from semicl_monai.data.pairing.channels import channel_words, group_channels, group_unlabelled
from semicl_monai.data.pairing.matching import match_files
from semicl_monai.data.pairing.named_file import NamedFile
from semicl_monai.data.pairing.parts import parts_of
from semicl_monai.data.pairing.sequences import without_other_sequences
from semicl_monai.data.pairing.words import is_like_label, split_words
from semicl_monai.utils import InputError


@dataclass(frozen=True)
class PairedCase:
    """An image with its label.

    Attributes:
        case: its name, which differs from that of the others.
        images: its files, one a channel.
        label: its label, if there is one.
        patient: its patient, empty if not known.
        part: ``training``, ``validation`` or ``test``.
    """

    case: str
    images: tuple[NamedFile, ...]
    label: NamedFile | None
    patient: str
    part: str


@dataclass(frozen=True)
class Pairing:
    """Images and labels of a data set.

    Attributes:
        cases: the cases, sorted by name.
        channels: names of the channels, empty if the file names do not tell them.
        left_out: files that are not used, with the reason.
    """

    cases: tuple[PairedCase, ...]
    channels: tuple[str, ...]
    left_out: tuple[str, ...]


def pair_files(
    images: Sequence[NamedFile], labels: Sequence[NamedFile], left_out: Sequence[str] = (), is_sure: bool = False
) -> Pairing:
    """Pair images and labels by their names, see :mod:`semicl_monai.data.pairing.matching`.

    No file is opened.

    Args:
        images: the images.
        labels: the labels.
        left_out: files that are not used, with the reason.
        is_sure: whether the user has named the images one by one or by a pattern.

    Raises:
        InputError: When it is not clear which label belongs to which image. The message names the files.
    """
    matches = match_files(labels, images)
    check_matches(labels, images, matches, left_out)
    groups = group_channels(matches)
    channels = channel_words(groups)
    used = {image for group in groups.values() for image in group.values()}
    others, series = _without_time_series([image for image in images if image not in used])
    if not is_sure:
        _check_not_labels(others)
    lines: list[str] = []
    if len(channels) == 1:
        others, lines = without_other_sequences(others, list(used))
    bare = group_unlabelled(others, channels)
    found: list[tuple[tuple[NamedFile, ...], NamedFile | None]] = [
        *((tuple(group.values()), label) for label, group in groups.items()),
        *((files, None) for files in bare),
    ]
    reasons = [*left_out, *([f"time series: {listing(series)}"] if series else []), *lines]
    return Pairing(_named(found), _channel_names(channels, groups), tuple(reasons))


def _named(found: Sequence[tuple[tuple[NamedFile, ...], NamedFile | None]]) -> tuple[PairedCase, ...]:
    files, labels = [images for images, _ in found], [label for _, label in found]
    parts = parts_of([(images[0], label is not None) for images, label in found])
    rows = zip(name_cases(files, labels), files, labels, name_patients(files), parts, strict=True)
    cases = [PairedCase(*row) for row in rows]
    _check_names_differ(cases)
    return tuple(sorted(cases, key=lambda case: case.case))


def _channel_names(
    channels: Sequence[tuple[str, ...]], groups: dict[NamedFile, dict[tuple[str, ...], NamedFile]]
) -> tuple[str, ...]:
    """The names of the channels as they are written; numbers are no names."""
    if channels == [()] or any(word.isdecimal() for words in channels for word in words):
        return ()
    stems = [image.parts[-1] for image in next(iter(groups.values())).values()]
    return tuple(_as_written(words, stem) for words, stem in zip(channels, stems, strict=True))


def _as_written(words: tuple[str, ...], stem: str) -> str:
    name, start = "_".join(words), stem.casefold().rfind(words[0])
    same = len(words) == 1 and start >= 0
    return stem[start : start + len(name)] if same else name


def _without_time_series(images: Sequence[NamedFile]) -> tuple[list[NamedFile], list[str]]:
    """The images without a label but those called ``4d``, and the names of these; their frames have the labels."""
    series = [image for image in images if "4d" in split_words(image.parts[-1])]
    return [image for image in images if image not in series], [image.shown for image in series]


def _check_not_labels(images: Sequence[NamedFile]) -> None:
    """Refuse images without a label that may be labels themselves, under a name that is not known."""
    like = [image for image in images if any(is_like_label(word) for part in image.parts for word in split_words(part))]
    if like:
        raise InputError(
            f"{len(like)} file(s) without a label may be labels by their names: {_shown(like)}; rename them, or choose "
            f"by patterns, such as --labels {like[0].pattern} and --images for the images."
        )


def _check_names_differ(cases: Sequence[PairedCase]) -> None:
    seen: dict[str, PairedCase] = {}
    for case in cases:
        other = seen.setdefault(case.case, case)
        if other is not case:
            raise InputError(
                f"images must have names that differ, got {other.images[0].shown} and {case.images[0].shown}: take one "
                "away, or choose by a pattern for --images."
            )


def _shown(files: Sequence[NamedFile]) -> str:
    return listing([file.shown for file in files])
