"""Names of cases and patients, by the paths of their images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import takewhile

from semicl_monai.data.pairing.named_file import NamedFile, bids_subject, is_bids
from semicl_monai.data.pairing.words import is_channel, is_site, split_words, without_roles

FEWEST_PATIENTS = 3
FIRST_CHANNEL = re.compile(r".+_0000")
MOST_SCANS = 10  # average per patient, as in semicl_monai.data.patients
NO_PATIENTS = frozenset(("fold", "batch", "part", "year", "series", "study"))


def name_cases(images: Sequence[Sequence[NamedFile]], labels: Sequence[NamedFile | None] = ()) -> list[str]:
    """Return a name for each image, given its files.

    It is the name of the file, without that of the channel. If such names repeat, it is made of the parts of the path
    that differ: the folder, where each patient has one.

    ``_0000`` is the channel of nnU-Net if all images have it, or the label lacks it. Otherwise it numbers the case.

    Args:
        images: the files of each image.
        labels: the label of each image.

    Example:
        >>> from semicl_monai.data.pairing.named_file import read_name
        >>> names = [read_name(path, path) for path in ("p1/image.nii.gz", "p2/image.nii.gz")]
        >>> name_cases([[name] for name in names])
        ['p1', 'p2']
    """
    numbered = _numbered(images, labels)
    own_stems = [_stem(files, files[0] in numbered) for files in images]
    stems = [files[0].case or stem for files, stem in zip(images, own_stems, strict=True)]
    if len(set(stems)) == len(stems):
        return stems
    paths = [(*files[0].parts[:-1], stem) for files, stem in zip(images, own_stems, strict=True)]
    counts = Counter(part for path in paths for part in set(path))
    own = [[part for part in path if counts[part] < len(paths) and _tells(part)] for path in paths]
    short = [_joined(parts) for parts in own]
    is_clear = len(set(short)) == len(short) and all(short)
    return short if is_clear else ["_".join(path) for path in paths]


def name_patients(images: Sequence[Sequence[NamedFile]]) -> list[str]:
    """Return the patient of each image; empty texts if the files do not tell it.

    It is the subject of BIDS, the PatientID of DICOM, or the folder if some folders hold several images. Equal names at
    several sites are different people: ``site1_p01``.
    """
    sites = _sites([files[0] for files in images])
    for find in (_of_bids, _known, _folder):
        patients = [find(files[0]) for files in images]
        found = ["_".join((*site, name)) if name else "" for site, name in zip(sites, patients, strict=True)]
        count = len(set(found))
        tells = all(found) and (find is _of_bids or FEWEST_PATIENTS <= count < len(found) <= MOST_SCANS * count)
        if tells:
            return found
    return [""] * len(images)


def _sites(images: Sequence[NamedFile]) -> list[list[str]]:
    """The folders of sites of each image above its patient that not all images share."""
    shared = set.intersection(*(set(image.parts[:-1]) for image in images))
    above = [takewhile(lambda part: not _is_patient(part), image.parts[:-1]) for image in images]
    return [[part for part in parts if part not in shared and is_site(part)] for parts in above]


def _of_bids(image: NamedFile) -> str:
    return bids_subject(image) if is_bids(image) else ""


def _known(image: NamedFile) -> str:
    return image.patient


def _folder(image: NamedFile) -> str:
    """The first folder with a number; a folder of a hospital is no patient."""
    return next(filter(_is_patient, image.parts[:-1]), "")


def _is_patient(part: str) -> bool:
    return re.search(r"\d", part) is not None and not _is_other(part)


def _is_other(part: str) -> bool:
    """Whether a folder is of a hospital, a fold or the like."""
    return is_site(part) or bool(NO_PATIENTS & set(re.findall("[a-z]+", part.casefold())))


def _numbered(images: Sequence[Sequence[NamedFile]], labels: Sequence[NamedFile | None]) -> set[NamedFile]:
    """The images whose ``_0000`` is the channel of nnU-Net."""
    ending = {files[0]: FIRST_CHANNEL.fullmatch(files[0].parts[-1]) is not None for files in images}
    if all(ending.values()):
        return set(ending)
    lacks = {files[0]: "0000" not in label.words for files, label in zip(images, labels, strict=False) if label}
    is_nnunet = any(lacks[image] for image in lacks if ending[image])
    return {image for image, ends in ending.items() if ends and lacks.get(image, is_nnunet)}


def _stem(files: Sequence[NamedFile], is_numbered: bool) -> str:
    """The name of a file without the words of its channel."""
    stem = files[0].parts[-1]
    if len(files) > 1 or is_numbered:
        pieces = re.split(r"([_\-.\s]+)", stem)
        words = pieces[::2]
        channel = next((n for n in reversed(range(len(words))) if is_channel(split_words(words[n]))), None)
        if channel is not None and len(words) > 1:
            at = 2 * channel
            pieces = pieces[: at - 1] + pieces[at + 1 :] if at else pieces[2:]
            stem = "".join(pieces)
    return stem


def _tells(part: str) -> bool:
    return bool(set(without_roles(split_words(part))) - {"tr", "ts"})


def _joined(parts: Sequence[str]) -> str:
    """The parts of a path; a folder is left out if the name after it begins with it."""
    return "_".join(
        part
        for number, part in enumerate(parts)
        if not (number + 1 < len(parts) and parts[number + 1].casefold().startswith(part.casefold()))
    )
