"""Which learning rate a parameter has in fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from semicl_monai.engines.methods import METHODS
from semicl_monai.networks import from_scratch, layout_of, record_of
from semicl_monai.networks.layout import NetworkLayout

# how many decoder blocks an objective trains beside the encoder; none where it is not named
DECODER_BLOCKS = {"region": 3, "local": None, "joint": None}


def parameter_groups(
    model: nn.Module,
    network: nn.Module,
    pretrained: str | Path | None,
    learning_rate: float,
    pretrained_learning_rate: float,
) -> list[dict[str, Any]]:
    """Group the parameters of a model for an optimizer: what was pre-trained has a learning rate of its own.

    Args:
        model: what is trained; parameters that need no gradient are left out.
        network: the part of it that was pre-trained, such as the student of a teacher.
        pretrained: file of its weights, whose record tells the method; ``None`` or ``"none"`` from scratch. Without a
            record, all but the classifier counts as pre-trained.
        learning_rate: of all else.
        pretrained_learning_rate: of what was pre-trained.

    Returns:
        The groups, in the form of :class:`torch.optim.Optimizer`: one, if both rates are equal or nothing was
        pre-trained.

    Raises:
        InputError: When the network has no known layout, or the record cannot be read.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if from_scratch(pretrained) or pretrained_learning_rate == learning_rate:
        return [{"params": trained, "lr": learning_rate}]
    layout, method = layout_of(network), record_of(str(pretrained)).get("method")
    known = {id(parameter) for name, parameter in network.named_parameters() if _is_pretrained(name, layout, method)}
    parts = {pretrained_learning_rate: [p for p in trained if id(p) in known]}
    parts[learning_rate] = [p for p in trained if id(p) not in known]
    return [{"params": part, "lr": rate} for rate, part in parts.items() if part]


def _is_pretrained(name: str, layout: NetworkLayout, method: str | None) -> bool:
    """Whether the pre-training of a method has trained the parameter called ``name``."""
    if method is None:
        return not layout.is_classifier(name)
    objectives = METHODS[method].objectives
    blocks = [block for o in objectives if o in DECODER_BLOCKS for block in layout.decoder_blocks[: DECODER_BLOCKS[o]]]
    return bool(objectives) and (layout.is_encoder(name) or name.startswith(tuple(f"{block}." for block in blocks)))
