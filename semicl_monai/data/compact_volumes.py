"""Transforms that keep the prepared volumes of a data set in few bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from monai.transforms import Compose, RandomizableTrait, Transform

from semicl_monai.data.samples_compose import SamplesCompose
from semicl_monai.utils import KeptVolumeTrait, pack_volume, unpack_volume


class PackVolume(Transform):
    """Apply :func:`semicl_monai.utils.pack_volume` to a sample."""

    def __init__(self) -> None:
        self.index = "foreground and annotation"  # a part of the hash: files without this index are made again

    def __call__(self, data: Any) -> Any:
        """Pack a sample; anything but a dictionary is returned unchanged."""
        return pack_volume(data) if isinstance(data, Mapping) else data


# it is not random, but the output of random transforms is what MONAI's data sets do not keep
class UnpackVolume(Transform, RandomizableTrait):
    """Apply :func:`semicl_monai.utils.unpack_volume` to a sample. Data sets do not keep the output."""

    def __call__(self, data: Any) -> Any:
        """Unpack a sample; anything but a dictionary is returned unchanged."""
        return unpack_volume(data) if isinstance(data, Mapping) else data


def keep_compactly(transform: Sequence[Callable[..., Any]] | Callable[..., Any] | None) -> Compose:
    """Return the transforms of a data set so that it keeps prepared volumes in few bytes.

    The output of the deterministic transforms is packed. It is unpacked before the first random transform, unless this
    transform takes packed volumes. All transforms get the values and types that they got before, rounded to half
    precision.

    Args:
        transform: all transforms. The transforms before the first random one are deterministic.
    """
    compose = transform if isinstance(transform, Compose) else Compose(transform)
    end = count_deterministic(compose)
    deterministic, others = compose.transforms[:end], compose.transforms[end:]
    unpack = () if others and isinstance(others[0], KeptVolumeTrait) else (UnpackVolume(),)
    settings = (compose.map_items, compose.unpack_items, compose.log_stats, compose.lazy, compose.overrides)
    return SamplesCompose([*deterministic, PackVolume(), *unpack, *others], *settings)


def count_deterministic(transform: Compose) -> int:
    """Return the number of transforms before the first random one."""
    first = transform.get_index_of_first(
        lambda part: isinstance(part, RandomizableTrait) or not isinstance(part, Transform)
    )
    return len(transform.transforms) if first is None else first


def axis_of_planes(transform: Compose) -> int | None:
    """Return the axis of the planes that the first random transform takes of packed volumes, if it does."""
    first = next(iter(transform.transforms[count_deterministic(transform) :]), None)
    return first.axis if isinstance(first, KeptVolumeTrait) else None
