"""Loading of pre-trained and of trained weights into a network."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from monai.networks.utils import copy_model_state
from torch import nn

from semicl_monai.networks.layout import NetworkLayout, layout_of, set_layout
from semicl_monai.networks.memory_format import channels_last
from semicl_monai.networks.provenance import read_provenance
from semicl_monai.networks.weights_file import find_state_dict, without_deep_supervision
from semicl_monai.utils import InputError, started_by_user

logger = logging.getLogger(__name__)


def load_pretrained(network: nn.Module, pretrained: str | Path, layout: NetworkLayout | None = None) -> list[str]:
    """Load pre-trained weights into ``network``, except its classifier, and log the number of loaded tensors.

    Args:
        network: the network to fine-tune. It is changed in place.
        pretrained: file with a state dict (see :func:`find_state_dict`).
        layout: module names of the network's parts. By default, they follow from the network's class.

    Returns:
        The names of the loaded tensors.

    Raises:
        InputError: When the file is missing, corrupt or holds code, or when its values are not finite. Also when an
            encoder tensor is missing in the file, has another shape, or is unknown to the network.
    """
    layout = layout_of(network) if layout is None else layout
    own = network.state_dict()
    found = find_state_dict(pretrained, own)
    weights = without_deep_supervision(found.tensors)
    missing = [k for k in own if layout.is_encoder(k) and not _fits(own[k], weights.get(k))]
    if missing:
        raise InputError(
            f"{pretrained} does not fit {type(network).__name__}: {len(missing)} tensors of the encoder are missing "
            f"in it or have another shape, the first is '{missing[0]}'; wanted {_shape(own[missing[0]])}, "
            f"got {_shape(weights.get(missing[0]))}."
        )
    foreign = [k for k in weights if layout.is_encoder(k) and k not in own]
    if foreign:
        raise InputError(
            f"{pretrained} has another architecture than {type(network).__name__}: its encoder has {len(foreign)} "
            f"tensors that {type(network).__name__} does not have, the first is '{foreign[0]}'."
        )
    wanted = {k: v for k, v in weights.items() if k in own and not layout.is_classifier(k) and _fits(own[k], v)}
    _, loaded, _ = copy_model_state(network, wanted)
    logger.info(f"Loaded {len(loaded)} of {len(own)} tensors from {pretrained}{found}; the classifier starts anew.")
    return list(loaded)


def initial_network(
    network: nn.Module,
    pretrained: str | Path | None,
    device: torch.device | str | None = None,
    layout: NetworkLayout | None = None,
) -> nn.Module:
    """Return ``network`` with pre-trained weights, or unchanged when ``pretrained`` is ``None`` or ``"none"``.

    The log says which of the two happened. On a CPU, the network gets channels last (see :func:`channels_last`).

    Args:
        network: the network. It is changed in place.
        pretrained: file of the weights.
        device: device to which the network is moved first. By default, the network is not moved.
        layout: module names of the network's parts, for :func:`layout_of`. By default, they follow from the network's
            class.

    Raises:
        InputError: As for :func:`load_pretrained` and :func:`set_layout`.
    """
    if layout is not None:
        set_layout(network, layout)
    network = channels_last(network if device is None else network.to(device))
    if from_scratch(pretrained):
        logger.info("Training starts without pre-trained weights.")
        return network
    load_pretrained(network, str(pretrained))
    known = read_provenance(str(pretrained))
    untrained = known is not None and known.is_untrained
    logger.info(f"Training starts from the {'untrained network' if untrained else 'pre-trained weights'} {pretrained}.")
    if known is None:
        logger.warning(f"Provenance unknown: {pretrained} does not say which cases it was trained on.")
    return network


def find_pretrained(folder: str | Path) -> str:
    """Return the path of the pretrain stage's weights: ``model_pretrained.pt`` in ``folder``.

    Some programs run the config themselves and bring their own model (MONAI Label, FL clients). For them, ``"none"`` is
    returned when the file is missing. For a user of the runner, the path is returned in any case. A missing file is
    then an error.
    """
    file = Path(folder) / "model_pretrained.pt"
    return str(file) if file.is_file() or started_by_user() else "none"


def from_scratch(pretrained: str | Path | None) -> bool:
    """Whether the option ``pretrained`` asks for no weights: ``None`` or ``"none"``."""
    return pretrained is None or str(pretrained).lower() == "none"


def load_network(network: nn.Module, weights: str | Path, class_names: Sequence[str] | None = None) -> nn.Module:
    """Load all tensors of a trained network, and log their number.

    Args:
        network: the network. It is changed in place and returned.
        weights: file with its state dict (see :func:`find_state_dict`). Heads of deep supervision are skipped.
        class_names: names of the classes that the network must predict, without background. By default, the classes are
            not checked.

    Raises:
        InputError: When the file is missing, corrupt, holds code, or has values that are not finite. Also when it has
            another architecture, or when its classifier was trained for other classes or not at all.
    """
    found = find_state_dict(weights, network.state_dict())
    if class_names is not None:
        _check_same_classes(weights, class_names)
    # heads of deep supervision predict during training only and are not saved
    heads = network.state_dict().keys() - without_deep_supervision(network.state_dict()).keys()
    state = without_deep_supervision(found.tensors)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        network.load_state_dict({**{name: before[name] for name in heads}, **state})
    except RuntimeError as error:
        network.load_state_dict(before)  # torch has already loaded the tensors that fit
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(
            f"{weights} holds another architecture than {type(network).__name__}: {first[:200]}"
        ) from error
    logger.info(f"Loaded all {len(state)} tensors from {weights}{found}.")
    return network


def _check_same_classes(weights: str | Path, class_names: Sequence[str]) -> None:
    known = read_provenance(weights)
    if known is not None and not known.classes:
        raise InputError(
            f"{weights} is from pre-training, which trains no classifier: wanted weights from the stage train."
        )
    if known is not None and known.classes != tuple(class_names):
        raise InputError(
            f"{weights} was trained for the classes {', '.join(known.classes)}, in this order; class_names is "
            f"{', '.join(class_names) or 'empty'}."
        )


def _fits(own: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and own.shape == other.shape


def _shape(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else str(tuple(tensor.shape))
