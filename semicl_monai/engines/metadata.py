"""Training on tensors without metadata."""

from __future__ import annotations

from ignite.engine import Engine
from monai.data import get_track_meta, set_track_meta


def run_without_metadata(trainer: Engine) -> None:
    """Run a trainer while MONAI's tensors carry no metadata.

    Metadata takes time, and no training step needs it. After the run, even a failed one, MONAI tracks metadata as
    before. The next run may be in the same program.

    Args:
        trainer: trainer whose ``run`` takes no argument.
    """
    before = get_track_meta()
    set_track_meta(False)
    try:
        trainer.run()
    finally:
        set_track_meta(before)
