"""The weights a stage leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

from ignite.engine import Engine, Events
from ignite.handlers import DiskSaver
from monai.engines import Evaluator
from torch import nn

from semicl_monai.utils import one_of, save_json


class ModelSaver:
    """Write the network's state dict: the best on validation where there was one, else the last.

    The file is written beside the old one and renamed when it is whole.

    Args:
        path: the file to write, such as ``models/model.pt``.
        network: the plain network.
        evaluator: the engine whose key metric chooses, run by a :class:`monai.handlers.ValidationHandler` that stands
            before this handler; without one the last state is written.
        split_file: file of the split; where it exists, what was seen is written beside the weights (``model.json`` for
            ``model.pt``), so that a later stage can tell whether it holds out a case the weights know.
        sees: what the stage sees of the training cases: ``"labels"``, ``"images"`` or ``"nothing"``.
        method: the method the weights are made by, written beside them too.

    Raises:
        InputError: When ``sees`` is none of these.
    """

    def __init__(
        self,
        path: str | Path,
        network: nn.Module,
        evaluator: Evaluator | None = None,
        split_file: str | Path | None = None,
        sees: str = "labels",
        method: str | None = None,
    ) -> None:
        self.path, self.network, self.evaluator = Path(path), network, evaluator
        self.split_file, self.sees = split_file, one_of(sees, ["labels", "images", "nothing"], "sees")
        self.method = method

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer, behind its ``ValidationHandler``."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save_best)
        engine.add_event_handler(Events.COMPLETED, self.save_last)

    def save_best(self, engine: Engine) -> None:
        """Write the network if this epoch's validation was the best so far."""
        if self.evaluator is not None and self.evaluator.state.best_metric_epoch == engine.state.epoch:
            self.write()
            engine.logger.info(f"Saved the best network so far to {self.path}.")

    def save_last(self, engine: Engine) -> None:
        """Write the network at the end of a run without validation."""
        if self.evaluator is None or self.evaluator.state.best_metric_epoch < 0:
            self.write()
            engine.logger.info(f"Saved the last network to {self.path}.")

    def write(self) -> None:
        """Write the network as it is, and what it has seen."""
        network = getattr(self.network, "module", self.network)
        DiskSaver(str(self.path.parent), require_empty=False)(network.state_dict(), self.path.name)
        if self.split_file is not None and Path(self.split_file).is_file():
            seen = self._seen(json.loads(Path(self.split_file).read_text()))
            save_json({"method": self.method, **seen}, self.path.with_suffix(".json"))

    def _seen(self, split: dict) -> dict:
        if self.sees == "labels":
            return split
        if self.sees == "images":
            return {**split, "labelled": [], "unlabelled": [*split["labelled"], *split["unlabelled"]]}
        return {**split, **{part: [] for part in ("labelled", "unlabelled", "validation", "test")}}
