"""Carry pre-trained weights into a fresh network, or say why not."""

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
    """Load pre-trained weights into ``network``, all but its classifier, and report what was loaded.

    Args:
        network: the network to fine-tune; changed in place.
        pretrained: file with a state dict, see :func:`find_state_dict`.
        layout: where the network keeps its parts; looked up by the network's class by default.

    Returns:
        The names of the tensors that were loaded.

    Raises:
        InputError: When the file is missing, corrupt or holds code, when its values are not finite, or when a tensor of
            the encoder is missing in it, has another shape, or is one that the network does not have.
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
            f"{pretrained} is of another architecture than {type(network).__name__}, whose encoder has no place for "
            f"{len(foreign)} tensors of it, the first is '{foreign[0]}'."
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
    """Return ``network`` with pre-trained weights, or as it is when ``pretrained`` is ``None`` or ``"none"``.

    Which of the two happened is logged. On a CPU the network gets channels last, see :func:`channels_last`.

    Args:
        network: the network; changed in place.
        pretrained: file of the weights.
        device: where the network is moved to first; by default it stays where it is.
        layout: where the network keeps its parts, for :func:`layout_of`; that of its class by default.

    Raises:
        InputError: As :func:`load_pretrained` and :func:`set_layout`.
    """
    if layout is not None:
        set_layout(network, layout)
    network = channels_last(network if device is None else network.to(device))
    if from_scratch(pretrained):
        logger.info("Training starts without pre-trained weights.")
        return network
    load_pretrained(network, str(pretrained))
    logger.info(f"Training starts from the pre-trained weights {pretrained}.")
    if read_provenance(str(pretrained)) is None:
        logger.warning(f"Provenance unknown: {pretrained} does not say which cases it was trained on.")
    return network


def find_pretrained(folder: str | Path) -> str:
    """Return where the pretrain stage leaves its weights: ``model_pretrained.pt`` in ``folder``.

    A program that runs the config on its own (MONAI Label, FL clients) brings a model along: for it the answer is
    ``"none"`` as long as there is no such file. For a user of the runner it stays the file, and that it is missing an
    error.
    """
    file = Path(folder) / "model_pretrained.pt"
    return str(file) if file.is_file() or started_by_user() else "none"


def from_scratch(pretrained: str | Path | None) -> bool:
    """Whether the option ``pretrained`` asks for no weights: ``None`` or ``"none"``."""
    return pretrained is None or str(pretrained).lower() == "none"


def load_network(network: nn.Module, weights: str | Path, class_names: Sequence[str] | None = None) -> nn.Module:
    """Load a trained network, every tensor of it, and log what was loaded.

    Args:
        network: the network; changed in place and returned.
        weights: file with its state dict, see :func:`find_state_dict`, where heads of deep supervision are passed over.
        class_names: the classes it is to tell apart, without background; not looked at by default.

    Raises:
        InputError: When the file is missing, corrupt, holds code, has values that are not finite, is of another
            architecture, or says that its classifier was trained for other classes or not at all.
    """
    found = find_state_dict(weights, network.state_dict())
    if class_names is not None:
        _check_same_classes(weights, class_names)
    # heads of deep supervision predict in training alone, and are not saved
    heads = network.state_dict().keys() - without_deep_supervision(network.state_dict()).keys()
    state = without_deep_supervision(found.tensors)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        network.load_state_dict({**{name: before[name] for name in heads}, **state})
    except RuntimeError as error:
        network.load_state_dict(before)  # torch has loaded what fits
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(
            f"{weights} holds another architecture than {type(network).__name__}: {first[:200]}"
        ) from error
    logger.info(f"Loaded all {len(state)} tensors from {weights}{found}.")
    return network


def _check_same_classes(weights: str | Path, class_names: Sequence[str]) -> None:
    known = read_provenance(weights)
    if known is not None and not known.classes:
        raise InputError(f"{weights} is of pre-training, where no classifier is trained: wanted weights of train.")
    if known is not None and known.classes != tuple(class_names):
        raise InputError(
            f"{weights} was trained for the classes {', '.join(known.classes)}, in this order; class_names is "
            f"{', '.join(class_names) or 'empty'}."
        )


def _fits(own: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and own.shape == other.shape


def _shape(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else str(tuple(tensor.shape))
