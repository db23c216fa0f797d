"""What weights in a file were trained on."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from semicl_monai.networks.weights_file import read_content, state_dicts_in, without_deep_supervision
from semicl_monai.utils import InputError, Provenance, file_stamp, is_true
from semicl_monai.utils.digest import Stamp
from semicl_monai.utils.provenance import provenance_in

logger = logging.getLogger(__name__)


def read_provenance(weights: str | Path | None) -> Provenance | None:
    """Return how weights were made and what they have seen, as their file says.

    A file is believed only about the tensors it was written with: of weights that were changed since, or put into
    another file, nothing is known.

    Args:
        weights: the file; ``None``, ``"none"`` and a file that is not there are no weights.

    Returns:
        The provenance; ``None`` when it is unknown, and when there are no weights.

    Raises:
        InputError: When the file is damaged or would run code, holds no tensors, or its provenance cannot be read.
    """
    return _read(Path(weights), file_stamp(weights)) if weights and Path(weights).is_file() else None


def made_by(weights: str | Path | None) -> str | None:
    """Return the method weights are made by; ``None`` when it is unknown.

    Raises:
        InputError: As :func:`read_provenance`.
    """
    known = read_provenance(weights)
    return known.method if known else None


def require_provenance(weights: str | Path, allow_unknown: bool | str = False) -> None:
    """Refuse weights to be evaluated of which it is not known what they were trained on.

    Args:
        weights: the file.
        allow_unknown: the option ``allow_unknown_provenance``; also ``"true"``.

    Raises:
        InputError: When it is unknown and not allowed to be, or the weights cannot be read.
    """
    allowed = is_true(allow_unknown, "allow_unknown_provenance")
    if Path(weights).is_file() and read_provenance(weights) is None and not allowed:
        raise InputError(
            f"provenance unknown: {weights} does not say which cases it was trained on, so nobody can tell whether "
            f"those of the test were among them; give --allow_unknown_provenance true to evaluate it all the same."
        )


@lru_cache(maxsize=32)
def _read(weights: Path, stamp: Stamp) -> Provenance | None:
    content = read_content(weights)
    states = state_dicts_in(content, weights)
    found = provenance_in(content)
    if found is None:
        return None
    provenance = Provenance.from_dict(found, weights)
    if any(provenance.belongs_to(without_deep_supervision(state.tensors)) for state in states):
        return provenance
    logger.warning(f"{weights} holds other tensors than those its provenance was written for, so that it is unknown.")
    return None
