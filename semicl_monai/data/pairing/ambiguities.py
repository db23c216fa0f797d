"""Refuse pairs that are not clear, and say what to do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePath

from semicl_monai.data.listing import listing
from semicl_monai.data.pairing.matching import Match, like_files
from semicl_monai.data.pairing.named_file import NamedFile
from semicl_monai.utils import InputError


def check_matches(
    labels: Sequence[NamedFile], images: Sequence[NamedFile], matches: Sequence[Match], left_out: Sequence[str] = ()
) -> None:
    """Refuse labels without an image, and several labels of an image.

    Args:
        labels: the labels.
        images: the images.
        matches: the pairs that were found.
        left_out: files that are not used, with the reason.

    Raises:
        InputError: When a label has no image, or an image has several labels.
    """
    _check_one_label(matches)
    matched = {match.label for match in matches}
    lost = [label for label in labels if label not in matched]
    like = like_files([label for label in lost if not label.series], images)
    _check_one_label([*matches, *like], "; if one of them is of an image that is missing, add that image")
    if not lost:
        return
    hint = f"{_more_words(like)}{''.join(f'; left out as {reason}' for reason in left_out)}"
    if not matches:
        raise InputError(
            f"no label has a name like that of an image: the labels are {_shown(labels)}, the images {_shown(images)}; "
            "rename them, so that the label of case.nii.gz is case_seg.nii.gz or has the same name in another folder, "
            f"or choose by a pattern, such as --labels {labels[0].pattern}{hint}."
        )
    raise InputError(
        f"{len(lost)} of {len(labels)} labels have no image: {_shown(lost)}; add the images or take the labels "
        f"away, or choose by a pattern for --images and --labels{hint}."
    )


def _check_one_label(matches: Sequence[Match], hint: str = "") -> None:
    of_image: dict[NamedFile, list[NamedFile]] = defaultdict(list)
    for match in matches:
        of_image[match.image].append(match.label)
    for image, found in of_image.items():
        if len(found) > 1:
            raise InputError(
                f"image {image.shown} has {len(found)} labels, {_shown(found)}: wanted one label an image, with a "
                "number for each class; merge them into one file, or choose by a pattern, such as --labels "
                f"{' or '.join(dict.fromkeys(_pattern(label, image) for label in found))}{hint}."
            )


def _pattern(label: NamedFile, image: NamedFile) -> str:
    """A pattern of labels that go on like this one after the name of their image."""
    name, stem = PurePath(label.file).name, image.parts[-1]
    ending = name.removeprefix(stem)
    goes_on = name.startswith(stem) and ending[0] in "_-. "
    root = PurePath(label.file).parents[len(label.parts) - 1]
    return f"'{root}/**/*{ending}'" if goes_on else label.pattern


def _more_words(like: Sequence[Match]) -> str:
    """Why labels that are like an image do not belong to it."""
    if not like:
        return ""
    words, match = " ".join(like[0].extra), like[0]
    return (
        f"; {match.label.shown} is not taken for a label of {match.image.shown}, as it has '{words}' more, and not all "
        "labels have that"
    )


def _shown(files: Sequence[NamedFile]) -> str:
    return listing([file.shown for file in files])
