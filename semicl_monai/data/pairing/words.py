"""Words in the names of files and folders."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

# Words that tell what a file is. They are left out when names are compared.
LABEL_WORDS = frozenset(
    (
        *("label", "labels", "lbl", "lbls", "labelmap", "labelmaps", "seg", "segs", "dseg", "segm", "segmentation"),
        *("segmentations", "mask", "masks", "msk", "gt", "groundtruth", "truth", "manual", "annotation"),
        *("segmentierung", "segmentierungen", "maske", "masken", "masque", "masques", "segmentación", "segmentazione"),
        *("annotations", "annot", "roi", "rois", "contour", "contours", "delineation", "delineations"),
    )
)
IMAGE_WORDS = frozenset(
    (
        *("image", "images", "img", "imgs", "im", "imaging", "volume", "volumes", "vol", "scan", "scans"),
        *("orig", "original", "raw", "rawdata", "data", "bild", "bilder", "aufnahme", "aufnahmen"),
    )
)
# Sequences of one patient. Files that differ only in such a word are channels of one image.
SEQUENCES = frozenset(
    (
        *("t1", "t1w", "t1n", "t1c", "t1ce", "t1gd", "t1km", "t1post", "t2", "t2w", "t2f", "t2star", "flair"),
        *("pd", "pdw", "swi", "adc", "dwi", "hbv", "ct", "cta", "pet", "pt", "suv", "mr", "mri", "mra", "cbf"),
        *("cbv", "mtt", "tmax", "ttp", "dce", "lge", "bssfp", "ssfp", "stir", "water", "fat", "inphase"),
        *("outphase", "dp"),
    )
)
# Folders of different people. A study may also be one of several of a patient.
SITES = frozenset(("site", "center", "centre", "hospital", "clinic", "cohort", "institution"))
OF_SEQUENCE = re.compile(r"(3d)?t[12][a-z]{3,}")  # t1mprage, t2space
CHANNEL = re.compile(r"\d{4}")  # of nnU-Net: case_0000.nii.gz
_BY_LENGTH = "|".join(sorted(LABEL_WORDS | IMAGE_WORDS, key=len, reverse=True))
_ENDS = "|".join(sorted((word for word in LABEL_WORDS if len(word) > 2), key=len, reverse=True))
# img0001 and imagesTr; case1seg
GLUED = (re.compile(rf"({_BY_LENGTH})(\d+|tr|ts|va|val|te|test|train)"), re.compile(rf"(.*\d)({_ENDS})"))
LIKE_LABEL = re.compile("label|segm|seg$|mask|annotat|contour|truth")
NO_LABEL = re.compile("un(label|annotat|segm|mask)|labell?ed|annotated|masked")


def split_words(name: str) -> tuple[str, ...]:
    """Return the words of a name in small letters; a number beside a word such as ``img`` is a word of its own.

    An umlaut may be one character or two, as macOS writes it.

    Example:
        >>> split_words("ct_train-1001.Label"), split_words("img0001"), split_words("imagesTr"), split_words("Pat1Seg")
        (('ct', 'train', '1001', 'label'), ('img', '0001'), ('images', 'tr'), ('pat1', 'seg'))
    """
    words = [word for word in re.split(r"[^\w]+|_+", unicodedata.normalize("NFC", name).casefold()) if word]
    return tuple(part for word in words for part in _parts(word))


def _parts(word: str) -> tuple[str, ...]:
    found = next(filter(None, (pattern.fullmatch(word) for pattern in GLUED)), None)
    return found.groups() if found else (word,)


def is_like_label(word: str) -> bool:
    """Whether a word holds one of labels, but is none.

    Example:
        >>> [is_like_label(word) for word in ("labelsv2", "liverseg", "unlabelled", "unannotated", "t1")]
        [True, True, False, False, False]
    """
    return LIKE_LABEL.search(word) is not None and NO_LABEL.search(word) is None


def without_roles(words: Collection[str], kept: Collection[str] = ()) -> tuple[str, ...]:
    """Return the words that do not tell what a file is; words in ``kept`` stay.

    Example:
        >>> without_roles(["volume", "0"]), without_roles(["ground", "truth"]), without_roles(["roi", "1"], ["roi"])
        (('0',), (), ('roi', '1'))
    """
    roles = (LABEL_WORDS | IMAGE_WORDS | ({"ground"} if "truth" in words else set())) - set(kept)
    return tuple(word for word in words if word not in roles)


def is_channel(words: Collection[str]) -> bool:
    """Whether words name one channel of an image: a sequence, or nnU-Net's number.

    Example:
        >>> is_channel(["t1ce"]), is_channel(["0001"]), is_channel(["visit2"]), is_channel([])
        (True, True, False, False)
    """
    return bool(words) and all(is_sequence(word) or CHANNEL.fullmatch(word) for word in words)


def has_number(words: Collection[str]) -> bool:
    """Whether words may number a case, a visit or a frame; the names of sequences do not.

    Example:
        >>> has_number(["frame01"]), has_number(["t1"]), has_number(["liver"])
        (True, False, False)
    """
    return any(any(map(str.isdigit, word)) for word in words if not is_sequence(word))


def is_sequence(word: str) -> bool:
    """Whether a word names a sequence.

    Example:
        >>> [is_sequence(word) for word in ("t1ce", "3dflair", "t1mprage", "t1a", "liver")]
        [True, True, True, False, False]
    """
    return word.removeprefix("3d") in SEQUENCES or OF_SEQUENCE.fullmatch(word) is not None


def is_site(part: str) -> bool:
    """Whether a folder is of a hospital or a data set, so that equal names in two of them are different people.

    Example:
        >>> [is_site(part) for part in ("site1", "Hospital_B", "ds000114", "p01", "sites of fractures")]
        [True, True, True, False, False]
    """
    return bool(SITES & set(re.findall("[a-z]+", part.casefold()))) or re.fullmatch(r"ds\d{3,}", part) is not None
