"""Learning rates of parameters in fine-tuning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from semicl_monai.methods.registry import find_method, stages_of
from semicl_monai.networks import from_scratch, layout_of, made_by
from semicl_monai.networks.layout import NetworkLayout
from semicl_monai.utils import InputError


def parameter_groups(
    model: nn.Module,
    network: nn.Module,
    pretrained: str | Path | None,
    learning_rate: float,
    pretrained_learning_rate: float,
    classifier_learning_rate: float,
) -> list[dict[str, Any]]:
    """Group the parameters of a model by their learning rates: pre-trained ones, the classifier, all others.

    Args:
        model: the model that is trained. Parameters without a gradient are left out.
        network: the pre-trained part of the model, such as the student. A copy of it in the model, such as a second
            student, starts from random weights. Its classifier has the same rate.
        pretrained: file of the initial weights, whose provenance names their method; ``None`` or ``"none"`` from
            scratch. If the provenance is unknown, all parameters but the classifier count as pre-trained.
        learning_rate: rate of all other parameters.
        pretrained_learning_rate: rate of pre-trained parameters.
        classifier_learning_rate: rate of the classifier, the layers behind the last decoder map. It is never
            pre-trained.

    Returns:
        The groups, one for each rate, in the form that :class:`torch.optim.Optimizer` takes.

    Raises:
        InputError: When rates differ and the network has no known layout, or the weights cannot be read.
    """
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if from_scratch(pretrained):
        pretrained, pretrained_learning_rate = None, learning_rate
    if learning_rate == pretrained_learning_rate == classifier_learning_rate:
        return [{"params": trained, "lr": learning_rate}]
    layout = _layout_for_rates(network)
    method = made_by(pretrained) if pretrained else "random"

    def rate_of(name: str, part: nn.Module) -> float:
        if layout.is_classifier(name):
            return classifier_learning_rate
        pretrained = part is network and _is_pretrained(name, layout, method)
        return pretrained_learning_rate if pretrained else learning_rate

    names = [name for name, _ in network.named_parameters()]
    parts = [part for part in model.modules() if [name for name, _ in part.named_parameters()] == names]
    by_id = {id(parameter): rate_of(name, part) for part in parts for name, parameter in part.named_parameters()}
    rates = [by_id.get(id(parameter), learning_rate) for parameter in trained]
    return [
        {"params": [parameter for parameter, own in zip(trained, rates, strict=True) if own == rate], "lr": rate}
        for rate in dict.fromkeys(rates)
    ]


def _layout_for_rates(network: nn.Module) -> NetworkLayout:
    try:
        return layout_of(network)
    except InputError as error:
        raise InputError(
            f"network {type(network).__name__} has no known layout, so its parts cannot have different rates: "
            "give classifier_learning_rate and pretrained_learning_rate the value of learning_rate."
        ) from error


def _is_pretrained(name: str, layout: NetworkLayout, method: str | None) -> bool:
    """Whether the pre-training of a method trains the parameter called ``name``, which is not of the classifier."""
    if method is None:
        return True
    stages = stages_of(find_method(method))
    in_decoder = any(layout.is_decoder(name, stage.decoder_blocks) for stage in stages)
    return in_decoder or (bool(stages) and layout.is_encoder(name))
