"""The images and labels of a data set on disk, paired by their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.dicom import find_images, find_segmentations
from semicl_monai.data.pairing.find import FoundFiles, find_files
from semicl_monai.data.pairing.named_file import NamedFile, is_bids, read_name
from semicl_monai.data.pairing.pairing import Pairing, pair_files
from semicl_monai.data.pairing.words import split_words
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import without_suffix

NO_VOLUMES = ("func", "fmap", "eeg", "meg", "ieeg")  # folders of BIDS
PATTERN = "as a folder or a pattern such as 'DIR/**/*_lesion.nii.gz'"


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
    of_labels = find_files(labels, "labels") if labels is not None else None
    is_one = of_labels is None or (of_labels.root == of_images.root and not of_labels.is_pattern)
    found = _among_images(of_images) if is_one or of_labels is None else _apart(of_images, of_labels)
    if not found.images:
        raise InputError(f"--images {images}: no image found{_but(found.labels)}.")
    if not found.labels:
        raise InputError(
            f"no label found: {_unlike(found.images)} in {of_images.root}; give the labels by --labels, {PATTERN}."
        )
    return pair_files(found.images, found.labels, found.left_out), of_images.root


def _among_images(found: FoundFiles) -> FoundNames:
    names = _names(found.root, found.files, _shared_words(found.files))
    series, others = find_images(found.root, found.folders)
    names, left_out = _without_derivatives(names)
    images = [name for name in names if not name.is_label]
    labels = [name for name in names if name.is_label]
    segmentations = find_segmentations(found.root, found.folders) if series else []
    return FoundNames([*images, *series], [*labels, *segmentations], [*found.others, *left_out, *others])


def _apart(of_images: FoundFiles, of_labels: FoundFiles) -> FoundNames:
    """Images and labels of two places, one of which may be inside the other."""
    kept = _shared_words((*of_images.files, *of_labels.files))
    labels = _names(of_labels.root, of_labels.files, kept, are_labels=True)
    taken = {label.file for label in labels}
    images = _names(of_images.root, [file for file in of_images.files if str(file) not in taken], kept)
    images, left_out = _without_derivatives(images)
    _check_no_labels(images, of_images)
    series, others = find_images(of_images.root, of_images.folders)
    labels += find_segmentations(of_labels.root, of_labels.folders)
    lines = [*of_images.others, *of_labels.others, *left_out, *others]
    return FoundNames([*images, *series], labels, list(dict.fromkeys(lines)))


def _names(root: Path, files: Sequence[Path], kept: set[str], are_labels: bool = False) -> list[NamedFile]:
    paths = [(str(file), file.relative_to(root).as_posix()) for file in files]
    return [read_name(file, relative, kept, are_labels) for file, relative in paths]


def _shared_words(files: Sequence[Path]) -> set[str]:
    """Words that all names have; they tell nothing about a file."""
    words = [set(split_words(without_suffix(file.name))) for file in files]
    return set.intersection(*words) if len(words) > 1 else set()


def _without_derivatives(names: list[NamedFile]) -> tuple[list[NamedFile], list[str]]:
    """In BIDS, leave out series over time, probabilities, and images that are made of others."""
    bids = [name for name in names if is_bids(name)]
    has_raw = any("derivatives" not in name.parts[:-1] and not name.is_label for name in bids)
    reasons = {name: _reason(name, has_raw) for name in bids}
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


def _check_no_labels(images: Sequence[NamedFile], found: FoundFiles) -> None:
    """Refuse labels among the images, unless a pattern was given or all are named so."""
    labels = [image for image in images if image.is_label]
    if labels and len(labels) < len(images) and not found.is_pattern:
        raise InputError(
            f"{len(labels)} of {len(images)} files of --images are named like labels: "
            f"{listing([label.shown for label in labels])}; leave them out by a pattern for --images, or give no "
            "--labels."
        )


def _but(labels: Sequence[NamedFile]) -> str:
    if not labels:
        return ""
    shown = listing([label.shown for label in labels])
    return f", as all {len(labels)} files are named like labels ({shown}): give patterns for --images and --labels"


def _unlike(images: Sequence[NamedFile]) -> str:
    shown = listing([image.shown for image in images])
    return f"no name of the {len(images)} files ({shown}) has a word such as label, seg or mask"
