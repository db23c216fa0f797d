"""Which image a label belongs to, by the words of their names.

Rules, the first that finds an image for a label counts:

1. The words are the same.
2. The names are the same, if no label lies in a folder of an image, and no name occurs twice: ``subset3/1`` and
   ``lungs/1``.
3. The image has the words of the label in a row, and more: ``BraTS_1_seg`` and ``BraTS_1_t1``. An image goes to the
   label with the most words.
4. The label has the words of the image in a row, and others without a number: ``case_1`` and ``case_1_liver_mask``.
   All labels that are found by words must have the same others: ``anna_maria_seg`` is no label of ``anna`` beside
   ``bob_seg``. A number that all labels have says nothing: ``case_1_reader2_seg``.
5. The same as 1, 3 and 4, without the words that all labels have and no image, or all images and no label.
6. Both lie in the same folder, and the rest of their names has no number: ``p1/t1`` and ``p1/lesion_mask``. A number
   that all labels have says nothing: ``p1/vertebra_L1``.
7. There is one label, and its name tells nothing: ``image`` and ``label``. No image has a number.

A single label of several images needs a number in rules 3 to 5, which tells its case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from semicl_monai.data.pairing.named_file import NamedFile
from semicl_monai.data.pairing.words import has_number, is_channel

Words = tuple[str, ...]


@dataclass(frozen=True)
class Match:
    """A label and an image.

    Attributes:
        label: the label.
        image: the image.
        rest: the words that only the image has.
        extra: the words that only the label has, by rule 4.
    """

    label: NamedFile
    image: NamedFile
    rest: Words
    extra: Words = ()


def match_files(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    """Return the pairs of labels and images by the rules of this module; a label or an image may occur several times.

    A label of a DICOM series goes to that series, whatever the names.
    """
    by_series = _by_series(labels, images)
    has_series = any(image.series for image in images)
    labels = [label for label in labels if not (label.series and has_series)]
    is_single = len(labels) == 1 < len(images)
    shared = set() if is_single else _shared(labels)
    sides = set() if is_single else _side_words(labels, images), _side_words(images, labels)
    label_has_more = partial(_label_has_more, shared=shared)
    without_side_words = partial(_without_side_words, sides=sides, shared=shared)
    found: list[Match] = []
    for rule in (_same, _same_name, _image_has_more, label_has_more, without_side_words, _same_folder, _only_label):
        matched = {match.label for match in found}
        more = rule([label for label in labels if label not in matched], images)
        found += _sure(more, found, is_single and rule not in (_same_folder, _only_label))
    return [*by_series, *found]


def like_files(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    """Return an image that each label is like: its words in a row and any others. This is no rule, but for hints."""
    return _label_has_more(labels, images, {word for label in labels for word in label.words})


def _sure(matches: Sequence[Match], before: Sequence[Match], is_single: bool) -> list[Match]:
    """The matches without those of rule 4 if labels differ in their words, and without those of a single label."""
    differ = len({match.extra for match in (*before, *matches)}) > 1
    sure = [match for match in matches if not (match.extra and differ)]
    return [match for match in sure if not is_single or _is_known(match)]


def _is_known(match: Match) -> bool:
    """Whether a number tells the case, or names differ in a sequence only."""
    same = not match.extra and (not match.rest or is_channel(match.rest))
    return same or has_number(match.image.words)


def _by_series(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    by_series = {image.series: image for image in images if image.series}
    return [Match(label, by_series[label.series], ()) for label in labels if label.series in by_series]


def _same(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    by_words = _by(images, lambda image: image.words)
    return [Match(label, image, ()) for label in labels if label.words for image in by_words[label.words]]


def _image_has_more(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    by_words = _by(labels, lambda label: label.words)
    found: list[Match] = []
    for image in images:
        for run, rest in _runs(image.words):
            if run in by_words:
                found += [Match(label, image, rest) for label in by_words[run]]
                break
    return found


def _label_has_more(labels: Sequence[NamedFile], images: Sequence[NamedFile], shared: set[str]) -> list[Match]:
    by_words = _by(images, lambda image: image.words)
    found = []
    for label in labels:
        runs = (each for each in _runs(label.words) if each[0] in by_words and not has_number({*each[1]} - shared))
        run, extra = next(runs, ((), ()))
        found += [Match(label, image, (), extra) for image in by_words.get(run, []) if image.words]
    return found


def _without_side_words(
    labels: Sequence[NamedFile], images: Sequence[NamedFile], sides: tuple[set[str], set[str]], shared: set[str]
) -> list[Match]:
    of_labels, of_images = sides
    if not of_labels and not of_images:
        return []
    plain = {_without(image, of_images): image for image in images}
    origin = {_without(label, of_labels): label for label in labels}
    found: list[Match] = []
    for rule in (_same, _image_has_more, partial(_label_has_more, shared=shared)):
        matched = {match.label for match in found}
        found += _sure(rule([label for label in origin if label not in matched], list(plain)), found, is_single=False)
    return [replace(match, label=origin[match.label], image=plain[match.image]) for match in found]


def _same_name(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    if {label.folders for label in labels} & {image.folders for image in images}:
        return []
    of_labels, of_images = _by(labels, _beyond_folder), _by(images, _beyond_folder)
    names = [name for name in of_labels if has_number(name) and len(of_labels[name]) == len(of_images[name]) == 1]
    return [Match(of_labels[name][0], of_images[name][0], ()) for name in names]


def _same_folder(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    places = {each.folders for each in (*labels, *images)}
    by_folder = _by(images, lambda image: image.folders)
    shared = _shared(labels) if len(labels) > 1 else set()
    pairs = [(label, image) for label in labels for image in by_folder[label.folders] if label.folders]
    return [
        Match(label, image, _beyond_folder(image))
        for label, image in pairs
        if len(places) > 1
        and not has_number({*_beyond_folder(label)} - shared)
        and not has_number(_beyond_folder(image))
    ]


def _only_label(labels: Sequence[NamedFile], images: Sequence[NamedFile]) -> list[Match]:
    if len(labels) != 1 or labels[0].words or any(has_number(image.words) for image in images):
        return []
    return [Match(labels[0], image, image.words) for image in images]


def _beyond_folder(name: NamedFile) -> Words:
    """The words of a name that are not those of its folder."""
    size = len(name.folders)
    return name.words[size:] if name.words[:size] == name.folders else name.words


def _runs(words: Words) -> Iterator[tuple[Words, Words]]:
    """All words in a row and the words around them, the longest and the first ones first."""
    for size in range(len(words) - 1, 0, -1):
        for start in range(len(words) - size + 1):
            yield words[start : start + size], words[:start] + words[start + size :]


def _side_words(ones: Sequence[NamedFile], others: Sequence[NamedFile]) -> set[str]:
    """Words without a number that all of some files have, and none of others."""
    return {word for word in _shared(ones) - {word for name in others for word in name.words} if not has_number([word])}


def _shared(names: Sequence[NamedFile]) -> set[str]:
    """Words that all names have."""
    return set.intersection(*(set(name.words) for name in names)) if names else set()


def _without(name: NamedFile, words: set[str]) -> NamedFile:
    return replace(name, words=tuple(word for word in name.words if word not in words))


def _by(names: Sequence[NamedFile], key: Callable[[NamedFile], Words]) -> dict[Words, list[NamedFile]]:
    found: dict[Words, list[NamedFile]] = defaultdict(list)
    for name in names:
        found[key(name)].append(name)
    return found
