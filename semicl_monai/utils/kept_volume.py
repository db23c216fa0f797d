"""Prepared volumes in few bytes, with an index of their foreground."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from monai.data import get_track_meta
from torch import Tensor

from semicl_monai.utils.foreground_index import ForegroundIndex, index_foreground

KEPT = "kept_volume"  # entry of a packed sample; no "label_" or "image_", which Spacingd takes for metadata
LABEL, IMAGE = "label", "image"
VOLUME_DIMS = 4  # channels and three axes
WHOLE = (torch.uint8, torch.int8, torch.int16)
PRECISION = 2**-11  # relative precision of float16


class KeptVolumeTrait:
    """Trait of a random transform that takes a packed volume, because it uses only a part of it.

    The transform passes each of its samples to :func:`unpack_volume`.

    Attributes:
        axis: spatial axis along which whole planes are taken; ``None`` for smaller parts. Volumes are kept so that a
            plane lies in one piece. It is then read without the rest of the volume.
    """

    axis: int | None = None


def pack_volume(sample: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a sample with its float32 volumes ``(C, H, W, D)`` in smaller types, and with an index of its foreground.

    The foreground is that of ``label``. Whole numbers become ``uint8``, ``int8`` or ``int16`` and stay exact. Other
    values become ``float16`` if no value of a channel changes by more than :math:`2^{-11}` times the range of the
    channel. Volumes that fit none of these types stay as they are. Examples are whole numbers beyond 32767 and values
    beyond 65504.

    Args:
        sample: volumes and other entries, which stay as they are.

    Example:
        >>> packed = pack_volume({"image": torch.rand(1, 2, 2, 2), "label": torch.ones(1, 2, 2, 2)})
        >>> packed["image"].dtype, packed["label"].dtype
        (torch.float16, torch.uint8)
    """
    packed, names = dict(sample), [key for key, value in sample.items() if _is_float32(value)]
    if not names:
        return packed
    packed |= {key: _compact(sample[key]) for key in names}
    label, index = packed.get(LABEL), {}
    if torch.is_tensor(label) and label.ndim == VOLUME_DIMS:
        index[LABEL] = _index(label, packed)
    return {**packed, KEPT: {"float32": names, "foreground": index}}


def unpack_volume(sample: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return a packed sample, or samples drawn from it, with float32 tensors and without the index.

    Other samples are returned unchanged.

    Example:
        >>> unpack_volume(pack_volume({"label": torch.ones(1, 1, 1, 2)}))
        {'label': tensor([[[[1., 1.]]]])}
    """
    unpacked = dict(sample)
    for key in unpacked.pop(KEPT, {}).get("float32", ()):
        unpacked[key] = unpacked[key].to(torch.float32).contiguous()
    return unpacked


def planes_in_one_piece(sample: Any, axis: int | None) -> Any:
    """Return a packed sample in which each plane of an axis lies in one piece of memory; shapes stay the same.

    Other samples, and those without an axis, are returned unchanged.
    """
    if axis is None or not isinstance(sample, Mapping) or KEPT not in sample:
        return sample
    names = sample[KEPT]["float32"]
    return {**sample, **{key: sample[key].movedim(1 + axis, 1).contiguous().movedim(1, 1 + axis) for key in names}}


def untracked(volume: Tensor) -> Tensor:
    """Return a volume without its metadata if MONAI tracks none. Each operation on metadata takes time."""
    return volume if get_track_meta() else _plain(volume)


def foreground_of(sample: Mapping[Any, Any], key: Any) -> ForegroundIndex | None:
    """Return the index of the foreground of a label map ``(1, H, W, D)``, or ``None`` if the sample has no label.

    The index of a packed sample is used. Without one, it is made.
    """
    if key not in sample:
        return None
    index: ForegroundIndex | None = sample.get(KEPT, {}).get("foreground", {}).get(key)
    return _index(sample[key], sample) if index is None else index


def _index(label: Any, sample: Mapping[Any, Any]) -> ForegroundIndex:
    maps, image = _plain(torch.as_tensor(label)), sample.get(IMAGE)
    fits = torch.is_tensor(image) and image.shape[1:] == maps.shape[1:]
    return index_foreground(maps[0], _plain(image) if fits else None)  # type: ignore[arg-type]


def _is_float32(value: Any) -> bool:
    return torch.is_tensor(value) and value.dtype == torch.float32 and value.ndim == VOLUME_DIMS and value.numel() > 0


def _compact(tensor: Tensor) -> Tensor:
    plain = _plain(tensor)
    if (plain == plain.round()).all():
        return tensor.to(_whole_type(*plain.aminmax()))
    channels = plain.flatten(1)
    error = (channels.to(torch.float16) - channels).abs_().amax(dim=1)  # infinite for a value beyond 65504
    near = error <= PRECISION * (channels.amax(dim=1) - channels.amin(dim=1))  # never for NaN
    return tensor.to(torch.float16) if near.all() else tensor


def _whole_type(low: Tensor, high: Tensor) -> torch.dtype:
    fitting = (kind for kind in WHOLE if torch.iinfo(kind).min <= low and high <= torch.iinfo(kind).max)
    return next(fitting, torch.float32)


def _plain(tensor: Tensor) -> Tensor:
    return tensor.as_subclass(Tensor)
