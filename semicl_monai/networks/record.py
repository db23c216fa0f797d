"""What stands beside weights: how they were made, and what they have seen."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from semicl_monai.utils import InputError


def record_file(weights: str | Path | None) -> Path | None:
    """Return the file beside weights that tells of them, ``model.json`` beside ``model.pt``, there or not."""
    return Path(weights).with_suffix(".json") if weights else None


def record_of(weights: str | Path) -> dict[str, Any]:
    """Return what was written beside weights (``model.json`` beside ``model.pt``); nothing where there is no record.

    Raises:
        InputError: When the record cannot be read.
    """
    record = record_file(weights)
    if record is None or not record.is_file():
        return {}
    try:
        return dict(json.loads(record.read_text()))
    except (ValueError, TypeError) as error:
        raise InputError(f"the record {record} beside the weights must be a JSON object: {error}.") from error


def checksum(weights: str | Path | None) -> str | None:
    """Return the SHA-256 of a file of weights; ``None`` where there is no such file."""
    if weights is None or not Path(weights).is_file():
        return None
    return hashlib.sha256(Path(weights).read_bytes()).hexdigest()
