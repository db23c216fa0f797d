"""Training that has run into NaN or infinity."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NoReturn

import torch
from ignite.engine import Engine, Events
from monai.engines import SupervisedTrainer
from monai.engines.utils import IterationEvents
from monai.networks.utils import eval_mode
from monai.utils import CommonKeys
from torch import Tensor, nn

from semicl_monai.utils import InputError
from semicl_monai.utils.distributed import all_gather_object, largest_over_ranks

ADVICE = (
    "lower --learning_rate, or compute in full precision (--amp false --bfloat16 false); "
    "nothing of this epoch was saved"
)


# not ignite's TerminateOnNan: it acts after the step and ends the run as if complete, so that savers write the network
class NonFiniteCheck:
    """End a training at the first loss that is not finite, and before useless weights are saved.

    The loss is checked before its backward pass. Under float16, a gradient may be infinite. The scaler then skips the
    step and halves its scale. A scale below 1 means that many steps in a row were skipped.

    At the end of an epoch, the weights must be finite. The output of ``network`` for two images of the last batch must
    be finite too. Two reasons: no loss follows the last step of a run, and weights of 1e30 still count as finite. All
    ranks end together.

    Any other exception is raised again at once. Otherwise a :class:`monai.handlers.CheckpointSaver` behind this handler
    would save a half-trained network as the final one.

    Args:
        stage: name of the stage, with which the error message begins.
        network: the network that is saved. Its only input is images.

    Raises:
        InputError: When the loss, the gradients, the weights or the output are not finite.
    """

    def __init__(self, stage: str, network: nn.Module) -> None:
        self.stage, self.network = stage, network
        self.images: Tensor | None = None

    def attach(self, engine: SupervisedTrainer) -> None:
        """Attach to a trainer of MONAI, before all handlers that validate or save."""
        engine.add_event_handler(IterationEvents.LOSS_COMPLETED, self.check_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.check_weights)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.end)

    def check_loss(self, engine: SupervisedTrainer) -> None:
        """Raise when the loss of this step is not finite on any rank."""
        output: Any = engine.state.output
        self.images, loss = output[CommonKeys.IMAGE], output[CommonKeys.LOSS].detach()
        if not largest_over_ranks(int(not torch.isfinite(loss)), loss.device):
            return
        seen = all_gather_object((float(loss), _cases(engine.state.batch)))
        broken = next(loss for loss, _ in seen if not isfinite(loss))
        cases = ", ".join(dict.fromkeys(case for _, of_rank in seen for case in of_rank))
        step, length = engine.state.iteration, engine.state.epoch_length or 1
        raise InputError(
            f"{self.stage}: the loss must be finite, got {broken} in epoch {engine.state.epoch}, step "
            f"{(step - 1) % length + 1} of {length}, cases {cases}: {ADVICE}."
        )

    def check_weights(self, engine: SupervisedTrainer) -> None:
        """Raise when the weights, the gradients or the network's output are not finite."""
        found = next(filter(None, all_gather_object(self._fault(engine))), None)
        if found:
            raise InputError(f"{self.stage}: {found} after epoch {engine.state.epoch}: {ADVICE}.")

    def end(self, engine: Engine, error: Exception) -> NoReturn:
        """Raise the exception that ended the run, before other handlers see it."""
        raise error

    @torch.no_grad()
    def _fault(self, engine: SupervisedTrainer) -> str | None:
        broken = [name for name, tensor in engine.network.state_dict().items() if not _finite(tensor)]
        if broken:
            return f"weights must be finite, got NaN or infinity in {broken[0]}"
        if engine.scaler is not None and engine.scaler.is_enabled() and engine.scaler.get_scale() < 1:
            return "gradients must be finite, got NaN or infinity in many float16 steps in a row"
        if self.images is None:
            return None
        with eval_mode(self.network):
            output = engine.inferer(self.images[:2], self.network)
        return None if _finite(output) else "the network's output must be finite, got NaN or infinity"


def _finite(tensor: Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _cases(batch: Any) -> list[str]:
    named = batch if isinstance(batch, Mapping) else {}
    unlabelled = [f"{case} (unlabelled)" for case in named.get("unlabelled_case", [])]
    return [*map(str, named.get("case", [])), *unlabelled]
