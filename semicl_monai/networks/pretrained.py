"""Carry pre-trained weights into a fresh network, or say why not."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from monai.networks.utils import copy_model_state
from torch import nn

from semicl_monai.networks.layout import NetworkLayout, layout_of
from semicl_monai.utils import InputError, started_by_user

logger = logging.getLogger(__name__)

DEEP_SUPERVISION = re.compile(r"(^|\.)(deep_supervision_heads|super_head)\.")


def load_pretrained(network: nn.Module, pretrained: str | Path, layout: NetworkLayout | None = None) -> list[str]:
    """Load pre-trained weights into ``network``, all but its classifier, and report what was loaded.

    Args:
        network: the network to fine-tune; changed in place.
        pretrained: file with a state dict, flat or under the key ``"network"`` or ``"model"``.
        layout: where the network keeps its parts; looked up by the network's class by default.

    Returns:
        The names of the tensors that were loaded.

    Raises:
        InputError: When the file is missing, corrupt or holds code, or when a tensor of the encoder is missing in it or
            has another shape.
    """
    layout = layout_of(network) if layout is None else layout
    weights = without_deep_supervision(read_state_dict(pretrained))
    own = network.state_dict()
    missing = [k for k in own if layout.is_encoder(k) and not _fits(own[k], weights.get(k))]
    if missing:
        raise InputError(
            f"{pretrained} does not fit {type(network).__name__}: {len(missing)} tensors of the encoder are missing "
            f"in it or have another shape, the first is '{missing[0]}'; wanted {_shape(own[missing[0]])}, "
            f"got {_shape(weights.get(missing[0]))}."
        )
    wanted = {k: v for k, v in weights.items() if k in own and not layout.is_classifier(k) and _fits(own[k], v)}
    _, loaded, _ = copy_model_state(network, wanted)
    logger.info(f"Loaded {len(loaded)} of {len(own)} tensors from {pretrained}; the classifier starts anew.")
    return list(loaded)


def initial_network(network: nn.Module, pretrained: str | Path | None) -> nn.Module:
    """Return ``network`` with pre-trained weights, or as it is when ``pretrained`` is ``None`` or ``"none"``.

    Which of the two happened is logged.

    Raises:
        InputError: As :func:`load_pretrained`.
    """
    if from_scratch(pretrained):
        logger.info("Training starts without pre-trained weights.")
        return network
    load_pretrained(network, str(pretrained))
    logger.info(f"Training starts from the pre-trained weights {pretrained}.")
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


def load_network(network: nn.Module, weights: str | Path) -> nn.Module:
    """Load a trained network, every tensor of it.

    Args:
        network: the network; changed in place and returned.
        weights: file with its state dict, flat or under the key ``"network"`` or ``"model"``, where heads of deep
            supervision are passed over.

    Raises:
        InputError: When the file is missing, corrupt, holds code, or is of another architecture.
    """
    try:
        network.load_state_dict(without_deep_supervision(read_state_dict(weights)))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"{weights} holds another architecture than {type(network).__name__}: {first}") from error
    return network


def without_deep_supervision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state dict of the same network without deep supervision, whose heads predict in training alone.

    Args:
        state: of any network; those of a :class:`monai.networks.nets.DynUNet` may have such heads.
    """
    return {key: value for key, value in state.items() if not DEEP_SUPERVISION.search(key)}


def read_state_dict(path: str | Path) -> Mapping[str, torch.Tensor]:
    """Read the state dict of a network from ``path`` without running any code the file may hold.

    Raises:
        InputError: When the file is missing, is not a checkpoint, would run code, or holds no tensors.
    """
    if not Path(path).is_file():
        raise InputError(
            f"no weights at {path}: run the stage before this one first, or name a file (fine-tuning also takes "
            f"--pretrained none to start from scratch)."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here: a damaged zip, a foreign pickle, a refused class
        reason = "it would run code" if "unsupported global" in str(error).lower() else "it is damaged or no checkpoint"
        raise InputError(f"cannot load weights from {path}: {reason} ({type(error).__name__}).") from error
    for key in ("network", "model"):
        content = content.get(key, content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not any(isinstance(v, torch.Tensor) for v in content.values()):
        raise InputError(f"{path} holds no state dict of a network, got {type(content).__name__}.")
    return content


def _fits(own: torch.Tensor, other: torch.Tensor | None) -> bool:
    return other is not None and own.shape == other.shape


def _shape(tensor: torch.Tensor | None) -> str:
    return "nothing" if tensor is None else str(tuple(tensor.shape))
