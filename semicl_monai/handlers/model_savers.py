"""The files of weights that fine-tuning leaves behind."""

from __future__ import annotations

from pathlib import Path

from monai.engines import Evaluator
from torch import nn

from semicl_monai.handlers.handler_group import HandlerGroup
from semicl_monai.handlers.model_saver import ModelSaver
from semicl_monai.handlers.run_provenance import RunProvenance


class ModelSavers(HandlerGroup):
    """Write ``model.pt`` and ``model_final.pt``: the network when validation was best, and when training ended.

    For a student and a teacher, the network in both files is the teacher. The student at the best validation is then
    written to ``model_student.pt``. See :class:`ModelSaver`.

    Args:
        folder: folder of the files.
        network: the network to keep.
        student: the network that was trained. It may be ``network`` itself.
        evaluator: the engine whose key metric selects the best network.
        provenance: record of the cases that the network has seen.
    """

    def __init__(
        self,
        folder: str | Path,
        network: nn.Module,
        student: nn.Module,
        evaluator: Evaluator,
        provenance: RunProvenance,
    ) -> None:
        self.provenance = provenance
        best = {"model.pt": network} if student is network else {"model.pt": network, "model_student.pt": student}
        savers = [ModelSaver(Path(folder) / name, kept, evaluator, provenance) for name, kept in best.items()]
        super().__init__([*savers, ModelSaver(Path(folder) / "model_final.pt", network, provenance=provenance)])
