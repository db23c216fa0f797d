"""The method of a run."""

from __future__ import annotations

import logging
from pathlib import Path

from semicl_monai.data import SegmentationDatalist
from semicl_monai.methods.fine_tuning import FineTuningMethod
from semicl_monai.methods.registry import find_method, objectives_of
from semicl_monai.networks import from_scratch, made_by
from semicl_monai.utils import InputError

logger = logging.getLogger(__name__)
SUPERVISED = "random"


def method_of_run(method: str | None, pretrained: str | Path | None) -> str:
    """Return the method of a fine-tuning run: the requested one, or the one that pre-trained its weights.

    A method without pre-training, such as ``"mean_teacher"``, works with any weights.

    Args:
        method: the requested method, or ``None``.
        pretrained: file of the weights, ``"none"`` for no weights. Our stages record their method in this file.

    Returns:
        The method. It is ``"random"`` without a request if there are no weights or the weights are not ours.

    Raises:
        InputError: When ``method`` is unknown, when its pre-training differs from that of the weights, or when the
            weights cannot be read.
    """
    known = SUPERVISED if from_scratch(pretrained) else made_by(str(pretrained))
    if method is None:
        return known or SUPERVISED
    if known and objectives_of(method) and objectives_of(method) != objectives_of(known):
        raise InputError(f"method {method} needs its own pre-trained weights, got {pretrained} of method {known}.")
    return method


def fine_tuning_of(method: str, datalist: SegmentationDatalist | None = None, asked_for: str | None = None) -> str:
    """Return the method of fine-tuning after ``method``: itself, or ``"random"`` for supervised fine-tuning.

    Args:
        method: the method.
        datalist: the data set to search for unlabelled volumes if the method needs them. If none are found,
            fine-tuning is supervised. This is so in MONAI Label, which has no data list.
        asked_for: the method that the user requested, or ``None`` if ``method`` is that of the weights. A requested
            method is returned without a search.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> fine_tuning_of("global_local"), fine_tuning_of("tcsm")
        ('random', 'tcsm')
    """
    found = find_method(method)
    if not issubclass(found, FineTuningMethod):
        return SUPERVISED
    if asked_for is not None or datalist is None or not found.images or datalist.has_unlabelled():
        return method
    logger.warning(f"There is no unlabelled volume for {method}: fine-tuning is supervised.")
    return SUPERVISED
