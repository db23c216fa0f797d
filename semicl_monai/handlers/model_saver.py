"""The weights a stage leaves behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import DiskSaver
from monai.engines import Evaluator
from torch import nn

from semicl_monai.data import case_name
from semicl_monai.networks import checksum, from_scratch, record_of, without_deep_supervision
from semicl_monai.utils import InputError, save_json

PARTS = ("labelled", "unlabelled", "validation")


class ModelSaver:
    """Write the network's state dict: the best on validation where there was one, else the last.

    The file is written beside the old one and renamed when it is whole; heads of deep supervision, which predict in
    training alone, are left out, since MONAI cannot export a network that has them. What was seen is written beside it
    (``model.json`` for ``model.pt``), so that a later stage can tell whether it holds out a case the weights know: the
    names of the cases that were ``labelled``, ``unlabelled`` or for ``validation``, the ``method``, and the checksum of
    the ``pretrained`` weights.

    Args:
        path: the file to write, such as ``models/model.pt``.
        network: the plain network.
        evaluator: the engine whose key metric chooses, run by a :class:`monai.handlers.ValidationHandler` that stands
            before this handler; without one the last state is written.
        seen: the records ``{"image": path, ...}`` the stage sees, by part: ``"labelled"``, ``"unlabelled"``,
            ``"validation"``.
        pretrained: the pre-trained weights it has started from, or ``"none"``.
        method: the method the weights are made by.

    Attributes:
        earlier: the weights it has started from; their records are a part of the new one.

    Raises:
        InputError: When a part of ``seen`` is none of these.
    """

    def __init__(
        self,
        path: str | Path,
        network: nn.Module,
        evaluator: Evaluator | None = None,
        seen: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        pretrained: str | Path | None = None,
        method: str | None = None,
    ) -> None:
        self.path, self.network, self.evaluator = Path(path), network, evaluator
        self.seen, self.method = dict(seen or {}), method
        self.pretrained = None if from_scratch(pretrained) else pretrained
        self.earlier: list[str | Path] = [] if self.pretrained is None else [self.pretrained]
        unknown = [part for part in self.seen if part not in PARTS]
        if unknown:
            raise InputError(f"seen must have the parts {', '.join(PARTS)}, got '{unknown[0]}'.")

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
        state = without_deep_supervision(network.state_dict())
        DiskSaver(str(self.path.parent), require_empty=False)(state, self.path.name)
        save_json(self.record(), self.path.with_suffix(".json"))

    def record(self) -> dict[str, Any]:
        """Return what is written beside the weights."""
        earlier = [record_of(weights) for weights in self.earlier]
        before = {part: [case for record in earlier for case in record.get(part, [])] for part in PARTS}
        seen = {part: list(dict.fromkeys([*before[part], *self._cases(part)])) for part in PARTS}
        seen["unlabelled"] = [case for case in seen["unlabelled"] if case not in seen["labelled"]]
        return {"method": self.method, "pretrained": checksum(self.pretrained), **seen}

    def _cases(self, part: str) -> list[str]:
        return [record.get("case") or case_name(record["image"]) for record in self.seen.get(part, [])]
