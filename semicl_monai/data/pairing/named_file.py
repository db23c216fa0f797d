"""A file and what its name tells."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from semicl_monai.data.pairing.words import LABEL_WORDS, has_number, is_channel, is_site, split_words, without_roles
from semicl_monai.utils.formats import SEGMENTATION_SUFFIXES, without_suffix

BIDS = re.compile(r"sub-[A-Za-z0-9]+(_.+)?")
BIDS_FOLDERS = ("anat", "dwi", "func", "perf", "fmap", "ct", "pet", "derivatives", "sourcedata")
OF_LABELS = ("desc", "label", "space", "res", "den", "hemi", "seg", "atlas")  # entities that a label has for itself


@dataclass(frozen=True)
class NamedFile:
    """A file and what its name tells.

    Attributes:
        file: the file, as it is opened.
        parts: the folders below the root that was searched and the name without ending, as they are written.
        folders: the words of the folders that do not tell what a file is.
        words: the same with the words of the name.
        is_label: whether its name or a folder tells that it is a label.
        case: its case name if that is known otherwise, as of a DICOM series.
        patient: its patient if that is known otherwise.
        series_type: modality and description of a DICOM series, such as ``MR t2_tse``.
        series: SeriesInstanceUID, of a DICOM series or of the series that a DICOM SEG belongs to.
        root: name of the root, if images and labels have different ones.
    """

    file: str
    parts: tuple[str, ...]
    folders: tuple[str, ...]
    words: tuple[str, ...]
    is_label: bool
    case: str = ""
    patient: str = ""
    series_type: str = ""
    series: str = ""
    root: str = ""

    @property
    def shown(self) -> str:
        """The path below the root, for messages."""
        return "/".join((*([self.root] if self.root else []), *self.parts[:-1], PurePath(self.file).name))

    @property
    def pattern(self) -> str:
        """A pattern below the root that files of other cases may fit too.

        It is the end of the name without a number, or its beginning.
        """
        pieces = re.split(r"([_\-.\s]+)", self.parts[-1])
        tells = [is_channel([word]) or not has_number([word]) for word in (piece.casefold() for piece in pieces)]
        ending = PurePath(self.file).name.removeprefix(self.parts[-1])
        last = next((number + 1 for number in reversed(range(len(pieces))) if not tells[number]), 0)
        first = next((number for number in range(len(pieces)) if not tells[number]), len(pieces))
        if last == 0 or (last == len(pieces) and first == 0):
            name = self.parts[-1]
        else:
            name = "*" + "".join(pieces[last:]) if last < len(pieces) else "".join(pieces[:first]) + "*"
        root = PurePath(self.file).parents[len(self.parts) - 1]
        return f"'{root}/**/{name}{ending}'"


def read_name(file: str, relative: str, kept: Collection[str] = (), is_label: bool = False) -> NamedFile:
    """Return what the name of a file tells.

    Args:
        file: the file.
        relative: its path below the root that was searched.
        kept: words that tell nothing about the file.
        is_label: whether the file is known as a label.

    Example:
        >>> name = read_name("/d/labelsTr/case_1.nii.gz", "labelsTr/case_1.nii.gz")
        >>> name.words, name.is_label
        (('tr', 'case', '1'), True)
    """
    *above, last = PurePath(relative).parts
    stem = without_suffix(last)
    folders = [part for part in (_folder_words(part, kept) for part in _bids_folders(above, stem)) if part]
    own = without_roles(_name_words(stem), kept)
    words = (*_merged(folders, own), *own)
    tells = [*_label_words(_kind(stem), kept), *(word for part in above for word in _label_words(part, kept))]
    is_label = is_label or bool(tells) or last.endswith(SEGMENTATION_SUFFIXES)
    return NamedFile(file, (*above, stem), tuple(word for part in folders for word in part), words, is_label)


def is_bids(name: NamedFile) -> bool:
    """Whether a file is named as in BIDS."""
    return BIDS.fullmatch(name.parts[-1]) is not None


def bids_subject(name: NamedFile) -> str:
    """Return the subject of a file of BIDS."""
    return name.parts[-1].split("_", maxsplit=1)[0]


def _kind(stem: str) -> str:
    """The part of a name that tells what a file is: in BIDS its suffix, and whether it has the entity ``label``."""
    if not BIDS.fullmatch(stem):
        return stem
    *entities, suffix = stem.split("_")
    return f"{suffix}_label" if any(each.startswith("label-") for each in entities) else suffix


def _label_words(part: str, kept: Collection[str]) -> list[str]:
    return [word for word in split_words(part) if word in LABEL_WORDS and word not in kept]


def _name_words(stem: str) -> tuple[str, ...]:
    """The words of a name; in BIDS without the entities that a label has for itself."""
    if BIDS.fullmatch(stem):
        stem = "_".join(each for each in stem.split("_") if each.split("-", maxsplit=1)[0] not in OF_LABELS)
    return split_words(stem)


def _bids_folders(above: Sequence[str], stem: str) -> Sequence[str]:
    """The folders of a file; in BIDS without those of pipelines and of kinds of images, but with sites."""
    if not BIDS.fullmatch(stem):
        return above
    first = next((number for number, part in enumerate(above) if BIDS.fullmatch(part)), len(above))
    sites = [part for part in above[:first] if is_site(part)]
    return [*sites, *(part for part in above[first:] if part not in BIDS_FOLDERS)]


def _folder_words(part: str, kept: Collection[str]) -> tuple[str, ...]:
    return without_roles(split_words(part), kept)


def _merged(folders: Sequence[tuple[str, ...]], own: tuple[str, ...]) -> tuple[str, ...]:
    """The words of the folders without those at the end that the name repeats: ``BraTS_001/BraTS_001_t1``."""
    for number in range(len(folders)):
        repeated = tuple(word for part in folders[number:] for word in part)
        if own[: len(repeated)] == repeated:
            folders = folders[:number]
            break
    return tuple(word for part in folders for word in part)
