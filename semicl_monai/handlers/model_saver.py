"""The weights a stage leaves behind."""

from __future__ import annotations

from pathlib import Path

from ignite.engine import Engine, Events
from monai.engines import Evaluator
from torch import nn

from semicl_monai.handlers.run_provenance import RunProvenance, plain_state
from semicl_monai.networks import check_finite
from semicl_monai.utils import is_not_rank0, save_json, save_tensors, with_provenance
from semicl_monai.utils.provenance import provenance_in


# not monai.handlers.CheckpointSaver: it overwrites the file of an earlier run even after an exception
class ModelSaver:
    """Write the network's state dict: the best one on validation, or the last one when there was no validation.

    The new file is written beside the old one and renamed when it is complete. A run that fails leaves the old file.
    Heads of deep supervision are left out. They predict during training only, and MONAI cannot export a network that
    has them.

    The file records the cases that the network has seen. A later stage can then tell whether one of its held-out cases
    was used to train the weights. The same record is written as readable text beside the file (``model.json`` for
    ``model.pt``).

    Args:
        path: the file to write, such as ``models/model.pt``.
        network: the plain network.
        evaluator: the engine whose key metric selects the best network. A :class:`monai.handlers.ValidationHandler`
            before this handler must run it. Without an evaluator, the last state is written.
        provenance: record of the cases that the network has seen. By default, there are none.
    """

    def __init__(
        self,
        path: str | Path,
        network: nn.Module,
        evaluator: Evaluator | None = None,
        provenance: RunProvenance | None = None,
    ) -> None:
        self.path, self.network, self.evaluator = Path(path), network, evaluator
        self.provenance = provenance or RunProvenance(network)

    def attach(self, engine: Engine) -> None:
        """Attach to a trainer behind its ``ValidationHandler``, in the first process only."""
        if is_not_rank0():
            return
        engine.add_event_handler(Events.STARTED, self.provenance.start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save_best)
        engine.add_event_handler(Events.COMPLETED, self.save_last)

    def save_best(self, engine: Engine) -> None:
        """Write the network if this epoch's validation was the best so far."""
        if self.evaluator is not None and self.evaluator.state.best_metric_epoch == engine.state.epoch:
            self.write()
            engine.logger.info(f"Saved the best network so far to {self.path}.")

    def save_last(self, engine: Engine) -> None:
        """Write the network at the end of a run without validation."""
        self.provenance.complete()
        if self.evaluator is None or self.evaluator.state.best_metric_epoch < 0:
            self.write()
            engine.logger.info(f"Saved the last network to {self.path}.")

    def write(self) -> None:
        """Write the current network and the record of the cases that it has seen.

        Raises:
            InputError: When the network holds values that are not finite, when an image that it has seen cannot be
                read, or when the file cannot be written. The old file stays.
        """
        state = plain_state(self.network)
        check_finite(state, f"the network that was to be saved to {self.path}")
        content = with_provenance(state, self.provenance.current())
        save_tensors(content, self.path)
        save_json(provenance_in(content), self.path.with_suffix(".json"))
