"""Images of another sequence than those with a label."""

from __future__ import annotations

from collections.abc import Sequence

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.matching import Words
from semicl_monai.data.pairing.named_file import NamedFile, is_bids
from semicl_monai.data.pairing.words import CHANNEL, has_number, is_sequence, split_words, without_roles

# Phases of contrast. They tell images apart as sequences do, but are rarely channels of one image.
PHASES = frozenset(("arterial", "portal", "venous", "portalvenous", "delayed", "precontrast", "postcontrast"))
OF_BIDS = ("ce", "echo", "inv", "mt", "part")  # entities that tell sequences apart
SUFFIXES = frozenset(("unit1", "inplanet1", "inplanet2", "pdt2", "mp2rage", "r1map", "r2map"))  # with a number
SAME = {
    **{"t1w": "t1", "t1n": "t1", "t2w": "t2", "t2f": "flair", "pdw": "pd", "pt": "pet", "mri": "mr"},
    **dict.fromkeys(("t1c", "t1gd", "t1km", "t1post"), "t1ce"),
}


def without_other_sequences(
    images: Sequence[NamedFile], labelled: Sequence[NamedFile]
) -> tuple[list[NamedFile], list[str]]:
    """Return the images that may be of a sequence of those with a label, and a line that names the others.

    An image without a sequence in its name stays. If no image with a label has one, an image is of another sequence if
    its name differs from that of another image in the sequence only: ``p1_T2`` beside ``p1``. A channel of nnU-Net that
    all images with a label have, such as ``0000``, counts as their sequence.
    """
    known = {sequence_of(image) for image in labelled}
    plain = {image.words for image in (*images, *labelled) if not sequence_of(image)}
    channel = _shared_channel(labelled)
    others = [image for image in images if _is_other(image, known, plain) or _is_other_channel(image, channel)]
    names = f"another sequence than the images with a label: {listing([image.shown for image in others])}"
    return [image for image in images if image not in others], [names] if others else []


def sequence_of(image: NamedFile) -> frozenset[str]:
    """Return the words that name the sequence of an image; empty if there are none.

    Example:
        >>> from semicl_monai.data.pairing.named_file import read_name
        >>> names = ("sub-1_ce-gd_T1w.nii", "p1_portal_CT.nii", "p1_MR_3DFLAIR.nii", "p1.nii")
        >>> [sorted(sequence_of(read_name(name, name))) for name in names]
        [['ce-gd', 't1'], ['ct', 'portal'], ['flair', 'mr'], []]
    """
    found = {_plain(word) for word in image.words if _tells(word)}
    if is_bids(image):
        *entities, suffix = image.parts[-1].casefold().split("_")
        found |= {_plain(suffix)} if entities and _is_suffix(suffix) else set()
        found |= {each for each in entities if each.split("-", maxsplit=1)[0] in OF_BIDS}
    of_series = split_words(image.series_type)
    return frozenset(found | {_plain(word) for word in (*of_series[:1], *filter(_tells, of_series[1:]))})


def _tells(word: str) -> bool:
    return is_sequence(word) or word in PHASES


def _is_suffix(word: str) -> bool:
    """Whether the end of a name of BIDS tells a sequence, known or not; a number tells the case."""
    return word in SUFFIXES or ("-" not in word and not has_number([word]) and without_roles([word]) != ())


def _shared_channel(labelled: Sequence[NamedFile]) -> str:
    """The number that the names of several images end in; empty if there is none."""
    ends = {image.words[-1] for image in labelled if image.words}
    return ends.pop() if len(labelled) > 1 and len(ends) == 1 and CHANNEL.fullmatch(min(ends)) else ""


def _is_other_channel(image: NamedFile, channel: str) -> bool:
    return (
        bool(channel and image.words) and CHANNEL.fullmatch(image.words[-1]) is not None and image.words[-1] != channel
    )


def _plain(word: str) -> str:
    word = word.removeprefix("3d")
    return SAME.get(word, word)


def _is_other(image: NamedFile, known: set[frozenset[str]], plain: set[Words]) -> bool:
    sequence = sequence_of(image)
    if not sequence:
        return False
    if any(known):
        special = sequence - {"mr"} or sequence
        return not any(special <= each for each in known)
    return tuple(word for word in image.words if not _tells(word)) in plain
