"""Which method a run belongs to."""

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
    """Return the method a fine-tuning run belongs to: the one asked for, or the one its weights were pre-trained by.

    A method without pre-training, such as ``"mean_teacher"``, goes with any weights.

    Args:
        method: the method asked for, or ``None``.
        pretrained: file of weights, in which a stage of ours has written its method; ``"none"`` for no weights.

    Returns:
        The method; ``"random"`` when none was asked for and the weights, if any, are not ours.

    Raises:
        InputError: When ``method`` is unknown, or pre-trains for something else than the weights were, or the weights
            cannot be read.
    """
    known = SUPERVISED if from_scratch(pretrained) else made_by(str(pretrained))
    if method is None:
        return known or SUPERVISED
    if known and objectives_of(method) and objectives_of(method) != objectives_of(known):
        raise InputError(f"method {method} wants weights it has pre-trained, got {pretrained} of method {known}.")
    return method


def fine_tuning_of(method: str, datalist: SegmentationDatalist | None = None, asked_for: str | None = None) -> str:
    """Return the method that fine-tunes what ``method`` has pre-trained: itself, or ``"random"``, which is supervised.

    Args:
        method: the method.
        datalist: the data set, where unlabelled volumes are looked for if the method needs them: without any, as in
            MONAI Label, which has no data list, fine-tuning is supervised.
        asked_for: the method the user has asked for, for which nothing is looked for; ``None`` when ``method`` is that
            of the weights.

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
