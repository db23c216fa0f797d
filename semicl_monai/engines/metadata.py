"""Training on tensors without metadata."""

from __future__ import annotations

from ignite.engine import Engine
from monai.data import get_track_meta, set_track_meta

from semicl_monai.utils import keep_freed_memory


def run_without_metadata(trainer: Engine) -> None:
    """Run a trainer while MONAI's tensors carry no metadata.

    Metadata takes time, and no training step needs it. After the run, even a failed one, MONAI tracks metadata as
    before. The next run may be in the same program.

    Memory of freed tensors is kept (:func:`semicl_monai.utils.keep_freed_memory`).

    Args:
        trainer: trainer whose ``run`` takes no argument.
    """
    keep_freed_memory()
    before = get_track_meta()
    set_track_meta(False)
    try:
        trainer.run()
    finally:
        set_track_meta(before)
