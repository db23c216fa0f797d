"""Where a client's training starts from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai.handlers import CheckpointLoader

from semicl_monai.networks import checksum, from_scratch, record_of

logger = logging.getLogger(__name__)


def start_from_newer(handlers: Sequence[Any], pretrained: str | Path | None) -> list[Any]:
    """Leave out the loader of a model that was not fine-tuned from the pre-trained weights yet.

    MONAI Label puts a :class:`monai.handlers.CheckpointLoader` of its current model before all handlers of a training,
    which thereby goes on from that model. After a new pre-training it has to start from the pre-trained weights once;
    the network holds them already.

    Args:
        handlers: handlers of a trainer.
        pretrained: the pre-trained weights, or ``"none"``.

    Returns:
        The handlers that are to be attached.
    """
    if from_scratch(pretrained):
        return list(handlers)
    newest = checksum(pretrained)
    for handler in handlers:
        if _is_older(handler, newest):
            logger.info(f"Training does not start from {handler.load_path}, which is older than {pretrained}.")
    return [handler for handler in handlers if not _is_older(handler, newest)]


def _is_older(handler: Any, newest: str | None) -> bool:
    return isinstance(handler, CheckpointLoader) and record_of(handler.load_path).get("pretrained") != newest
