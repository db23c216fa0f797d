"""Checks that training labels hold foreground."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from semicl_monai.data.listing import listing
from semicl_monai.data.volume_dataset import VolumeDataset
from semicl_monai.utils import InputError, foreground_of

logger = logging.getLogger(__name__)

MOST_CASES = 10  # named in one line


def check_foreground(datasets: Iterable[VolumeDataset]) -> None:
    """Refuse to train if all labels are empty, and warn if some are.

    Volumes without a label are not counted. Training on images alone has only such volumes.

    Args:
        datasets: the data sets that are used for training.

    Raises:
        InputError: When a label holds only voxels to ignore, or no label of a data set holds foreground.
    """
    for dataset in datasets:
        samples = [sample for sample in dataset.prepared() if torch.is_tensor(sample.get("label"))]
        check_annotated([_case(sample) for sample in samples if not _is_annotated(sample)])
        empty = [_case(sample) for sample in samples if not (sample["label"] > 0).any()]
        if empty and len(empty) == len(samples):
            raise InputError(
                "at least one label of the training volumes must hold foreground (a value above 0), "
                f"got {len(empty)} empty: {listing(empty, MOST_CASES)}."
            )
        if empty:
            named = listing(empty, MOST_CASES)
            logger.warning(f"{len(empty)} of {len(samples)} training labels hold no foreground: {named}.")


def check_annotated(cases: Sequence[str]) -> None:
    """Refuse labels that hold only voxels to ignore.

    Args:
        cases: names of the cases with such a label.

    Raises:
        InputError: When there is one.
    """
    if cases:
        raise InputError(
            f"the labels of training volumes must have annotated voxels, got {len(cases)} with only voxels to ignore: "
            f"{listing(cases, MOST_CASES)}; leave these labels out, so that their images are used without a label."
        )


def _is_annotated(sample: Mapping[Any, Any]) -> bool:
    """Whether a sample has an annotated voxel that is not padded."""
    if sample["label"].numel() == 0 or sample["label"].amin() >= 0:
        return True
    index = foreground_of(sample, "label")
    return index is None or bool(index["annotated"][0].any())


def _case(sample: Mapping[Any, Any]) -> str:
    return str(sample.get("case", "?"))
