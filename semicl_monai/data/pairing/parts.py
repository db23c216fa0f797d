"""Folders of a data set that hold its own validation and test cases."""

from __future__ import annotations

from collections.abc import Sequence

from semicl_monai.data.pairing.named_file import NamedFile
from semicl_monai.data.pairing.words import split_words, without_roles

PARTS = {
    "ts": "test",
    "te": "test",
    "test": "test",
    "testing": "test",
    "va": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}


def part_of(image: NamedFile) -> str:
    """Return ``test`` or ``validation`` if a folder of an image is called so, else ``training``.

    Example:
        >>> from semicl_monai.data.pairing.named_file import read_name
        >>> [part_of(read_name(path, path)) for path in ("imagesTs/a.nii", "val/b.nii", "a/test_1.nii")]
        ['test', 'validation', 'training']
    """
    found = [without_roles(split_words(folder)) for folder in image.parts[:-1]]
    return next((PARTS[words[0]] for words in found if len(words) == 1 and words[0] in PARTS), "training")


def parts_of(images: Sequence[tuple[NamedFile, bool]]) -> list[str]:
    """Return the part of each image, given whether it has a label.

    If no labelled image is left for training, the folders say nothing, and all images are for training.
    """
    found = [part_of(image) for image, _ in images]
    trained = any(part == "training" and has_label for part, (_, has_label) in zip(found, images, strict=True))
    return found if trained else ["training"] * len(found)
