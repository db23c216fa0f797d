"""Training on tensors without metadata."""

from __future__ import annotations

from collections.abc import Sequence

from ignite.engine import Engine
from monai.data import get_track_meta, set_track_meta


def run_without_metadata(trainers: Sequence[Engine]) -> None:
    """Run trainers one after another while MONAI's tensors carry no metadata, which takes time that no step needs.

    After them MONAI tracks metadata as before, also when one has failed: the next run may be in the same program.

    Args:
        trainers: whose ``run`` takes no argument.
    """
    before = get_track_meta()
    set_track_meta(False)
    try:
        for trainer in trainers:
            trainer.run()
    finally:
        set_track_meta(before)
