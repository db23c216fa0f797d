"""The model that a client's training starts from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.handlers import CheckpointLoader

from semicl_monai.handlers.model_saver import ModelSaver
from semicl_monai.handlers.model_savers import ModelSavers
from semicl_monai.networks import from_scratch, read_provenance
from semicl_monai.utils import file_digest

logger = logging.getLogger(__name__)


def start_from_newer(handlers: Sequence[Any], pretrained: str | Path | None) -> list[Any]:
    """Leave out the loader of a model that was not fine-tuned from the pre-trained weights yet.

    MONAI Label puts a :class:`monai.handlers.CheckpointLoader` of its current model before all other handlers of a
    training. The training then continues from that model. After a new pre-training, the next training must start from
    the pre-trained weights instead. The network already holds these weights. The provenance of a model records the
    weights that the model started from. Without provenance, the file times decide which file is newer.

    The savers among the handlers are told which model the training continues from.

    Args:
        handlers: handlers of a trainer.
        pretrained: the file of the pre-trained weights, or ``"none"``.

    Returns:
        The handlers to attach.
    """
    loaders = [handler for handler in handlers if isinstance(handler, CheckpointLoader)]
    older = (
        [] if from_scratch(pretrained) else [loader for loader in loaders if _is_older(loader, Path(str(pretrained)))]
    )
    for loader in older:
        logger.info(f"Training does not start from {loader.load_path}, which is older than {pretrained}.")
    kept = [loader.load_path for loader in loaders if loader not in older]
    for provenance in {handler.provenance for handler in handlers if isinstance(handler, ModelSaver | ModelSavers)}:
        provenance.earlier += kept
    return [handler for handler in handlers if handler not in older]


def without_loaders(handlers: Sequence[Any]) -> list[Any]:
    """Leave out the loaders of a model.

    Pre-training in MONAI Label does not continue from the fine-tuned model.

    Args:
        handlers: handlers of a trainer.
    """
    return [handler for handler in handlers if not isinstance(handler, CheckpointLoader)]


def _is_older(loader: CheckpointLoader, pretrained: Path) -> bool:
    known = read_provenance(loader.load_path)
    if known is not None:
        return known.pretrained != file_digest(pretrained)
    return pretrained.is_file() and Path(loader.load_path).stat().st_mtime < pretrained.stat().st_mtime
