"""The method of a fine-tuning run."""

from __future__ import annotations

import logging
from pathlib import Path

from semicl_monai.data import SegmentationDatalist
from semicl_monai.methods.fine_tuning import FineTuningMethod
from semicl_monai.methods.registry import find_method, objectives_of
from semicl_monai.networks import from_scratch, made_by
from semicl_monai.utils import InputError
from semicl_monai.utils.running_config import running_config

logger = logging.getLogger(__name__)
SUPERVISED = "random"


def method_of_run(method: str | None, pretrained: str | Path | None) -> str:
    """Return the method of a fine-tuning run: the requested one, or the one that has pre-trained the initial weights.

    A method without pre-training, such as ``"mean_teacher"``, can start from any weights.

    Args:
        method: the requested method, or ``None``.
        pretrained: file of initial weights, whose provenance names their method; ``"none"`` for no weights.

    Returns:
        Name of the method. It is ``"random"`` when none was requested and the provenance names none.

    Raises:
        InputError: When ``method`` is unknown, when the weights are of another method, or when they cannot be read.
    """
    known = SUPERVISED if from_scratch(pretrained) else made_by(str(pretrained))
    if method is None:
        return known or SUPERVISED
    if known and objectives_of(method) and objectives_of(method) != objectives_of(known):
        raise InputError(f"method {method} needs its own pre-trained weights, got {pretrained} of method {known}.")
    return method


def fine_tuning_of(method: str, datalist: SegmentationDatalist | None = None, asked_for: str | None = None) -> str:
    """Return the method that fine-tunes: ``method`` itself, or ``"random"``, which is supervised.

    Unlabelled volumes are those of the data list. If a client such as MONAI Label puts its own labelled volumes in
    place of those of the data list, fine-tuning is supervised: the unlabelled volumes of the data list are other data.

    Args:
        method: name of the method of the run.
        datalist: the data set. If the method needs unlabelled volumes and the data set has none, fine-tuning is
            supervised.
        asked_for: the method that the user has requested. It is returned without a look at the data set. ``None`` when
            ``method`` comes from the weights.

    Raises:
        InputError: When the method is unknown.

    Example:
        >>> fine_tuning_of("global_local"), fine_tuning_of("tcsm")
        ('random', 'tcsm')
    """
    found = find_method(method)
    if not issubclass(found, FineTuningMethod):
        return SUPERVISED
    if asked_for is not None or datalist is None or not found.images:
        return method
    reason = _why_supervised(datalist)
    if reason is None:
        return method
    logger.warning(f"{reason}: fine-tuning is supervised, not {method}.")
    return SUPERVISED


def _why_supervised(datalist: SegmentationDatalist) -> str | None:
    if _has_volumes_of_a_client():
        return "The labelled volumes are not those of the data list"
    return None if datalist.has_unlabelled() else "There is no unlabelled volume"


def _has_volumes_of_a_client() -> bool:
    """Whether records stand in the config where the data list is expected."""
    dataset = running_config().get("train", {}).get("dataset", {})
    return isinstance(dataset.get("data"), list)
