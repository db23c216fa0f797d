"""Labelled and unlabelled batches side by side."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from semicl_monai.utils import InputError


class PairedDataLoader:
    """Give every labelled batch the images of an unlabelled one, under ``unlabelled_image``.

    Where the unlabelled samples have a weakly augmented view, it is ``unlabelled_weak_image``.

    Args:
        labelled: loader of batches with ``image`` and ``label``.
        unlabelled: loader of as many batches with ``image``, and ``weak_image`` where there is one.

    Attributes:
        loaders: both of them.

    Raises:
        InputError: When there is no unlabelled case.
    """

    def __init__(self, labelled: DataLoader, unlabelled: DataLoader) -> None:
        if len(unlabelled.dataset) == 0:  # type: ignore[arg-type]
            raise InputError(
                "semi-supervised training needs unlabelled training volumes, got none: lower labelled_fraction, add "
                "unlabelled images to the datalist, or choose a method that needs none."
            )
        self.loaders = (labelled, unlabelled)

    def __len__(self) -> int:
        return min(len(loader) for loader in self.loaders)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for labelled, unlabelled in zip(*self.loaders, strict=False):
            images = {f"unlabelled_{key}": unlabelled[key] for key in ("image", "weak_image") if key in unlabelled}
            yield {**labelled, **images}
