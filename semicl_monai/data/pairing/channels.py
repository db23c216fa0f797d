"""Which images with one label are the channels of one image."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.matching import Match, Words
from semicl_monai.data.pairing.named_file import NamedFile
from semicl_monai.data.pairing.words import is_channel
from semicl_monai.utils import InputError


def group_channels(matches: Sequence[Match]) -> dict[NamedFile, dict[Words, NamedFile]]:
    """Return the images of each label, by the words that only the image has, in the order of the channels.

    Several images are the channels of one image if each label has the same ones, and their words name sequences
    (``t1``, ``flair``) or are nnU-Net's numbers (``0000``).

    Raises:
        InputError: When it is not clear which images belong to a label.
    """
    groups: dict[NamedFile, dict[Words, NamedFile]] = defaultdict(dict)
    for match, rest in zip(matches, _rests(matches), strict=True):
        group = groups[match.label]
        if rest in group:
            raise _several(match.label, [group[rest], match.image])
        group[rest] = match.image
    for label, group in groups.items():
        if len(group) > 1 and not all(map(is_channel, group)):
            raise _several(label, list(group.values()))
    _check_alike(groups)
    return {label: dict(sorted(group.items())) for label, group in groups.items()}


def channel_words(groups: Mapping[NamedFile, Mapping[Words, NamedFile]]) -> list[Words]:
    """Return the words of the channels of all images with a label, in their order; ``[()]`` without such words."""
    found = sorted({words for group in groups.values() for words in group})
    return found if all(map(is_channel, found)) else [()]


def group_unlabelled(images: Sequence[NamedFile], channels: Sequence[Words]) -> list[tuple[NamedFile, ...]]:
    """Return the files of each image without a label, one a channel.

    Raises:
        InputError: When a channel is missing, or an image is of another sequence than those with a label.
    """
    if list(channels) == [()]:
        return [(image,) for image in images]
    groups: dict[Words, dict[Words, NamedFile]] = defaultdict(dict)
    for image in images:
        channel = next((words for words in channels if _split(image.words, words) is not None), ())
        key = image.words if channel == () else _split(image.words, channel) or ()
        if channel in groups[key]:
            raise InputError(
                f"{_shown([groups[key][channel], image])} have no label and the same name: {_choose(image)}."
            )
        groups[key][channel] = image
    for group in groups.values():
        _check_complete(group, channels)
    return [tuple(group[words] for words in channels if words in group) or (group[()],) for group in groups.values()]


def _rests(matches: Sequence[Match]) -> list[Words]:
    """The words that only an image has; among several images of a label, without those that all images have.

    A number of the label may be repeated in the name of its image. The only DICOM series of a label has none: folders
    of series are often called by numbers or UIDs.
    """
    counts = Counter(match.label for match in matches)
    several = len(counts) < len(matches)
    shared = set.intersection(*(set(match.rest) for match in matches)) if several else set()
    return [
        ()
        if match.image.series and counts[match.label] == 1
        else tuple(word for word in match.rest if word not in shared | set(match.label.words))
        for match in matches
    ]


def _check_alike(groups: Mapping[NamedFile, Mapping[Words, NamedFile]]) -> None:
    """Refuse labels whose images differ in their channels, or in words that may number a case."""
    first = next(iter(groups))
    for label, group in groups.items():
        if set(group) != set(groups[first]) and any(any(words) for words in {*group, *groups[first]}):
            pairs = [f"{name.shown} has {_shown(list(groups[name].values()))}" for name in (first, label)]
            raise InputError(
                f"all labels must have images with the same endings, got: {'; '.join(pairs)}: "
                f"{_choose(next(iter(groups[first].values())))}."
            )


def _check_complete(group: Mapping[Words, NamedFile], channels: Sequence[Words]) -> None:
    image = next(iter(group.values()))
    names = ", ".join("_".join(words) for words in channels)
    if () in group and len(channels) == 1 and not any(is_channel([word]) for word in image.words):
        return
    if set(group) != set(channels):
        raise InputError(
            f"image {image.shown} has no label, and must be one of {names}, as the images with a label: got "
            f"{_shown(list(group.values()))}; {_choose(image)}."
        )


def _split(words: Words, channel: Words) -> Words | None:
    """The words without those of a channel; ``None`` if it is not among them."""
    for start in range(len(words) - len(channel), -1, -1):
        if words[start : start + len(channel)] == channel:
            return words[:start] + words[start + len(channel) :]
    return None


def _several(label: NamedFile, images: Sequence[NamedFile]) -> InputError:
    shown = listing([_with_type(image) for image in images])
    return InputError(
        f"label {label.shown} fits {len(images)} images, {shown}, whose names do not tell that they are "
        f"channels of one image: {_choose(images[0])}."
    )


def _with_type(image: NamedFile) -> str:
    return f"{image.shown} ({image.series_type})" if image.series_type else image.shown


def _choose(image: NamedFile) -> str:
    return f"choose the images by a pattern, such as --images {image.pattern}"


def _shown(images: Sequence[NamedFile]) -> str:
    return listing([image.shown for image in images])
