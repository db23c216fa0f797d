"""Reading of the state dict in a file of weights, from this package or another."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from semicl_monai.utils import InputError

# keys of the network's state dict in checkpoints of this package, MONAI, Lightning and nnU-Net
KEYS = ("network", "model", "state_dict", "network_weights", "model_state_dict", "teacher", "student")
# name prefixes from DataParallel, torch.compile, our self-training and pre-training, nnU-Net, and Lightning modules
PREFIXES = ("module.", "_orig_mod.", "student.", "teacher.", "network.", "model.", "_model.", "net.")
HEADS = ("head.", "global_head.")  # stored beside our network in a checkpoint of pre-training
DEEP_SUPERVISION = re.compile(r"(^|\.)(deep_supervision_heads|super_head)\.")
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # not of 8 bits, which torch cannot check
COUNTS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool)  # for batch counts, or positions
DATA: list[Any] = [np.dtype, np.ndarray, *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8", "?"))]


@dataclass(frozen=True)
class StateDict:
    """The tensors of a network and where they were found.

    Args:
        tensors: tensors by name.
        where: keys of the tensors in the file and prefixes removed from their names, in words. Empty for a flat state
            dict.
    """

    tensors: Mapping[str, torch.Tensor]
    where: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f" ({', '.join(self.where)})" if self.where else ""


def read_content(path: str | Path) -> Any:
    """Load a file of weights onto the CPU without running any code it may hold.

    Raises:
        InputError: When the file is missing, is damaged, or would run code.
    """
    if not Path(path).is_file():
        raise InputError(
            f"no weights at {path}: run the stage before this one first, or name a file (fine-tuning also takes "
            f"--pretrained none to start from scratch)."
        )
    try:
        with torch.serialization.safe_globals([*DATA, *_numpy_builders()]):  # the file may also hold a loss or a date
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types here: a damaged zip, a foreign pickle, a refused class
        reason = "it would run code" if "unsupported global" in str(error).lower() else "it is damaged or no checkpoint"
        raise InputError(f"cannot load weights from {path}: {reason} ({type(error).__name__}).") from error


def state_dicts_in(content: Any, path: str | Path) -> list[StateDict]:
    """Return the state dict of the network in a loaded file, followed by its versions with prefixes removed.

    Args:
        content: a state dict, flat or under one of the keys ``"network"``, ``"model"``, ``"state_dict"``,
            ``"network_weights"``, ``"model_state_dict"``, ``"teacher"`` and ``"student"``.
        path: the file, for errors.

    Raises:
        InputError: When there are no tensors.
    """
    keys: list[str] = []
    while isinstance(content, Mapping) and (key := next((k for k in KEYS if _holds_tensors(content.get(k))), None)):
        content = content[key]
        keys.append(f"under '{key}'")
    tensors = {k: v for k, v in content.items() if _is_tensor(k, v)} if isinstance(content, Mapping) else {}
    if not tensors:
        raise InputError(f"{path} holds no state dict of a network, got {type(content).__name__}.")
    return list(_without_prefixes(StateDict(tensors, tuple(keys))))


def read_state_dict(path: str | Path) -> Mapping[str, torch.Tensor]:
    """Return the tensors that :func:`find_state_dict` finds."""
    return find_state_dict(path).tensors


def find_state_dict(path: str | Path, names: Collection[str] = ()) -> StateDict:
    """Read the state dict of a network from ``path`` without running any code the file may hold.

    Prefixes ``module.``, ``_orig_mod.``, ``student.``, ``teacher.``, ``network.``, ``model.``, ``_model.`` and ``net.``
    are removed when all names have them. If the file holds a student and a teacher, the teacher is returned.

    Args:
        path: the file.
        names: tensor names of the network that will get the weights. Prefixes that belong to these names are kept.

    Raises:
        InputError: When the file is missing, is not a checkpoint, would run code, holds no tensors, or has values that
            are not finite.
    """
    found = state_dicts_in(read_content(path), path)
    state = next((state for state in found if not state.tensors.keys().isdisjoint(names)), found[-1])
    _check_same_numbers(state.tensors, path)
    check_finite(state.tensors, path)
    return state


def without_deep_supervision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the state dict without heads of deep supervision, which predict during training only.

    Args:
        state: state dict of any network. Such heads are found in a :class:`monai.networks.nets.DynUNet`, for example.
    """
    return {key: value for key, value in state.items() if not DEEP_SUPERVISION.search(key)}


def check_finite(tensors: Mapping[str, torch.Tensor], what: object) -> None:
    """Raise :class:`~semicl_monai.utils.InputError` when a tensor holds NaN or infinity.

    Args:
        tensors: tensors by name.
        what: name of their file or network, for the error message.
    """
    wrong = {name: int((~tensor.isfinite()).sum()) for name, tensor in tensors.items() if tensor.is_floating_point()}
    wrong = {name: number for name, number in wrong.items() if number}
    if wrong:
        name, number = next(iter(wrong.items()))
        raise InputError(
            f"{what} must hold finite numbers, got NaN or infinity in {len(wrong)} of {len(tensors)} tensors, "
            f"the first is '{name}' with {number} such value(s) of {tensors[name].numel()}."
        )


def _check_same_numbers(tensors: Mapping[str, torch.Tensor], path: str | Path) -> None:
    """Refuse quantised, complex and sparse tensors.

    Torch copies quantised and complex tensors with a loss of information. It cannot copy sparse tensors.
    """
    for name, tensor in tensors.items():
        is_weight = name.endswith((".weight", ".bias", ".running_mean", ".running_var"))
        wrong_type = tensor.dtype not in (FLOATS if is_weight or tensor.is_floating_point() else COUNTS)
        if tensor.layout != torch.strided or tensor.is_meta or wrong_type:
            kind = "no values" if tensor.is_meta else tensor.dtype if wrong_type else tensor.layout
            raise InputError(f"{path} must hold dense tensors of floating point numbers, got '{name}' of {kind}.")


def _without_prefixes(state: StateDict) -> Iterator[StateDict]:
    """Yield the state dict itself, then the state dict after each removed prefix."""
    found: StateDict | None = state
    while found is not None:
        yield found
        found = _step(found)


def _step(state: StateDict) -> StateDict | None:
    tensors = state.tensors
    roots = {f"{name.split('.', 1)[0]}." for name in tensors}
    if {"student.", "teacher."} <= roots:
        return _part(state, "teacher.", "the teacher of teacher and student")
    if "network." in roots and len(roots) > 1 and roots <= {"network.", *HEADS}:
        return _part(state, "network.", "the network without its heads")
    if len(roots) == 1 and (prefix := roots.pop()) in PREFIXES:
        return _part(state, prefix, f"without the prefix '{prefix}'")
    return None


def _part(state: StateDict, prefix: str, words: str) -> StateDict:
    tensors = {k.removeprefix(prefix): v for k, v in state.tensors.items() if k.startswith(prefix)}
    return replace(state, tensors=tensors, where=(*state.where, words))


def _is_tensor(key: Any, value: Any) -> bool:
    return isinstance(key, str) and isinstance(value, torch.Tensor)


def _holds_tensors(content: Any) -> bool:
    return isinstance(content, Mapping) and any(
        isinstance(value, torch.Tensor) or (key in KEYS and _holds_tensors(value)) for key, value in content.items()
    )


def _numpy_builders() -> list[Any]:
    core = "numpy.core" if np.__version__.startswith("1.") else "numpy._core"  # 1.26 has an empty _core too
    builders: Any = import_module(f"{core}.multiarray")
    return [builders.scalar, builders._reconstruct]
