"""The images and labels of a data set on disk, paired by their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.dicom import find_images, find_segmentations
from semicl_monai.data.pairing.find import FoundFiles, find_files
from semicl_monai.data.pairing.named_file import NamedFile, is_bids, read_name
from semicl_monai.data.pairing.pairing import Pairing, pair_files
from semicl_monai.data.pairing.sequences import sequence_of
from semicl_monai.data.pairing.words import LABEL_WORDS, split_words
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import WANTED, without_suffix

NO_VOLUMES = ("func", "fmap", "eeg", "meg", "ieeg")  # folders of BIDS
EXAMPLE = "'FOLDER_OF_LABELS/**/*.nii.gz'"


@dataclass(frozen=True)
class FoundNames:
    """Images and labels of a data set.

    Attributes:
        images: the images.
        labels: the labels.
        left_out: files that are not used, with the reason.
    """

    images: list[NamedFile]
    labels: list[NamedFile]
    left_out: list[str]


def find_pairs(images: str, labels: str | None = None) -> tuple[Pairing, Path]:
    """Find and pair the images and labels of a data set.

    Args:
        images: a folder, or a pattern of :mod:`glob`. The folders below are searched too.
        labels: the same for the labels. By default, they are among the images and known by their names.

    Returns:
        The pairs, and the folder of the images.

    Raises:
        InputError: When no image or label is found, or it is not clear what belongs together.
    """
    of_images = find_files(images, "images")
    found = _among_images(of_images) if labels is None else _with_labels(of_images, find_files(labels, "labels"))
    if not found.labels and labels is None and of_images.is_pattern:
        found = _with_labels_around(of_images, found)
    if not found.images:
        raise InputError(f"--images {images}: no image found{_but(found, of_images)}.")
    if not found.labels:
        raise InputError(f"no label found in {of_images.root}: {_unlike(found)}.")
    return pair_files(found.images, found.labels, found.left_out, of_images.is_pattern), of_images.root


def _among_images(found: FoundFiles) -> FoundNames:
    series, others = find_images(found.root, found.folders)
    root = found.root if series else _without_shared_labels(found)
    names = _names(root, found.files, _shared_words((*found.files, *found.unread)))
    names, left_out = _without_derivatives(names)
    images = [name for name in names if not name.is_label]
    labels = [name for name in names if name.is_label]
    segmentations = find_segmentations(found.root, found.folders) if series else []
    return FoundNames([*images, *series], [*labels, *segmentations], [*found.others, *left_out, *others])


def _with_labels(of_images: FoundFiles, of_labels: FoundFiles) -> FoundNames:
    is_one = of_labels.root == of_images.root and not of_labels.is_pattern and not of_images.is_pattern
    return _among_images(of_images) if is_one else _apart(of_images, of_labels)


def _with_labels_around(of_images: FoundFiles, found: FoundNames) -> FoundNames:
    """Images of a pattern, and the labels in its folder, as they are named."""
    around = _among_images(find_files(str(of_images.root), "images"))
    return replace(found, labels=around.labels)


def _apart(of_images: FoundFiles, of_labels: FoundFiles) -> FoundNames:
    """Images and labels of two places, one of which may be inside the other."""
    kept = _shared_words((*of_images.files, *of_images.unread, *of_labels.files))
    labels = _names(of_labels.root, of_labels.files, kept, are_labels=True)
    taken = {label.file for label in labels}
    images = _names(of_images.root, [file for file in of_images.files if str(file) not in taken], kept)
    images, left_out = _without_derivatives(images)
    if not of_images.is_pattern:
        images, others = _without_other_labels(images)
        left_out += others
    series, others = find_images(of_images.root, of_images.folders)
    labels += find_segmentations(of_labels.root, of_labels.folders)
    lines = list(dict.fromkeys([*of_images.others, *of_labels.others, *left_out, *others]))
    if of_images.root != of_labels.root:
        series, images = (_with_root(names, of_images.root) for names in (series, images))
        labels = _with_root(labels, of_labels.root)
    return FoundNames([*images, *series], labels, lines)


def _with_root(names: Sequence[NamedFile], root: Path) -> list[NamedFile]:
    return [replace(name, root=root.name) for name in names]


def _names(root: Path, files: Sequence[Path], kept: set[str], are_labels: bool = False) -> list[NamedFile]:
    paths = [(str(file), file.relative_to(root).as_posix()) for file in files]
    return [read_name(file, relative, kept, are_labels) for file, relative in paths]


def _shared_words(files: Sequence[Path]) -> set[str]:
    """Words that all names have; they tell nothing about a file."""
    words = [set(split_words(without_suffix(file.name))) for file in files]
    return set.intersection(*words) if len(words) > 1 else set()


def _without_shared_labels(found: FoundFiles) -> Path:
    """The folder that names start from; a folder ``segmentation study`` of all files tells nothing about them."""
    if not found.files:
        return found.root
    shared = Path(os.path.commonpath([file.parent for file in found.files]))
    words = {word for part in shared.relative_to(found.root).parts for word in split_words(part)}
    return shared if words & LABEL_WORDS else found.root


def _without_derivatives(names: list[NamedFile]) -> tuple[list[NamedFile], list[str]]:
    """In BIDS, leave out series over time, probabilities, and images that are made of others."""
    bids = [name for name in names if is_bids(name)]
    has_raw = any("derivatives" not in name.parts[:-1] and not name.is_label for name in bids)
    reasons = {name: _reason(name, has_raw) for name in (names if bids else [])}
    lines = [
        f"{reason}: {listing([name.shown for name in reasons if reasons[name] == reason])}"
        for reason in dict.fromkeys(filter(None, reasons.values()))
    ]
    return [name for name in names if not reasons.get(name)], lines


def _reason(name: NamedFile, has_raw: bool) -> str:
    if set(NO_VOLUMES) & set(name.parts[:-1]):
        return "no structural images"
    if name.parts[-1].endswith("_probseg"):
        return "probabilities"
    if "derivatives" in name.parts[:-1] and has_raw and not name.is_label:
        return "images in derivatives"
    return ""


def _without_other_labels(images: list[NamedFile]) -> tuple[list[NamedFile], list[str]]:
    """Leave out files that are named like labels and are not those that were given, unless all images are."""
    labels = [image.shown for image in images if image.is_label]
    if not labels or len(labels) == len(images):
        return images, []
    line = f"files named like labels that are not among --labels: {listing(labels)}"
    return [image for image in images if not image.is_label], [line]


def _but(found: FoundNames, of_images: FoundFiles) -> str:
    if not found.labels or of_images.others:
        convert = f"; convert such images to {WANTED}" if of_images.others else ""
        return _left_out(found) + convert
    shown = listing([label.shown for label in found.labels])
    return (
        f", as all {len(found.labels)} files are named like labels ({shown}): give patterns for --images and --labels"
        f"{_left_out(found)}"
    )


def _unlike(found: FoundNames) -> str:
    names, count = listing([image.shown for image in found.images]), len(found.images)
    if all(set(split_words(image.parts[-1])) & LABEL_WORDS for image in found.images):
        return f"all {count} files are named like labels ({names}); give --images and --labels{_left_out(found)}"
    patterns = {image.pattern for image in found.images}
    others = sorted({image.pattern for image in found.images if not sequence_of(image)})
    example = listing(others) if others and 1 < len(patterns) < count else EXAMPLE
    return (
        f"no name of the {count} files ({names}) has a word such as label, seg or mask; give the labels by --labels, "
        f"as a folder or a pattern such as {example}{_left_out(found)}"
    )


def _left_out(found: FoundNames) -> str:
    return "".join(f"; left out as {reason.rstrip('.')}" for reason in found.left_out)
