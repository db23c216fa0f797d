"""Training on tensors without metadata."""

from __future__ import annotations

from ignite.engine import Engine
from monai.data import get_track_meta, set_track_meta


def run_without_metadata(trainer: Engine) -> None:
    """Run a trainer while MONAI's tensors carry no metadata, which takes time that no step needs.

    After it MONAI tracks metadata as before, also when it has failed: the next run may be in the same program.

    Args:
        trainer: whose ``run`` takes no argument.
    """
    before = get_track_meta()
    set_track_meta(False)
    try:
        trainer.run()
    finally:
        set_track_meta(before)
