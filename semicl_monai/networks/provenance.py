"""The provenance of the weights in a file."""

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
    """Return the provenance that a file of weights records: their method and the cases they were trained on.

    The provenance is valid only for the tensors it was written with. If the weights were changed later, their
    provenance is unknown. The same holds if they were copied into another file.

    Args:
        weights: the file. ``None``, ``"none"`` and a missing file count as no weights.

    Returns:
        The provenance, or ``None`` when it is unknown or there are no weights.

    Raises:
        InputError: When the file is damaged or would run code, holds no tensors, or its provenance cannot be read.
    """
    return _read(Path(weights), file_stamp(weights)) if weights and Path(weights).is_file() else None


def made_by(weights: str | Path | None) -> str | None:
    """Return the method that trained the weights, or ``None`` when it is unknown.

    Raises:
        InputError: As :func:`read_provenance`.
    """
    known = read_provenance(weights)
    return known.method if known else None


def require_provenance(weights: str | Path, allow_unknown: bool | str = False) -> None:
    """Refuse to evaluate weights of unknown provenance.

    Args:
        weights: the file.
        allow_unknown: the option ``allow_unknown_provenance``. ``"true"`` is accepted too.

    Raises:
        InputError: When the provenance is unknown but must be known, or when the weights cannot be read.
    """
    allowed = is_true(allow_unknown, "allow_unknown_provenance")
    if Path(weights).is_file() and read_provenance(weights) is None and not allowed:
        raise InputError(
            f"provenance unknown: {weights} does not say which cases it was trained on, so the test cases "
            f"may be among them; give --allow_unknown_provenance true to evaluate it anyway."
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
    logger.warning(f"Provenance unknown: {weights} holds other tensors than its provenance was written for.")
    return None
