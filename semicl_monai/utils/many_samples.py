"""Transforms of many samples at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from monai.transforms import Compose

MANY = "call_many"  # method of a dictionary transform: a list of samples to a list of samples


def transform_samples(transforms: Iterable[Callable[..., Any]], data: Any) -> Any:
    """Apply transforms one after the other to a sample, or to each of a list of samples.

    The result is that of :class:`monai.transforms.Compose`, which takes longer than its transforms of small images do.

    Args:
        transforms: the transforms. One with a method ``call_many`` gets a list of samples as a whole, to save time.
        data: a sample, or a list of samples, as by a transform that draws slices of a volume.

    Raises:
        RuntimeError: When a transform fails, as by Compose.
    """
    for transform in transforms:
        data = transform_once(transform, data)
    return data


def transform_once(transform: Callable[..., Any], data: Any) -> Any:
    """Apply one transform, see :func:`transform_samples`."""
    # not a OneOf or a RandomOrder, which are of the class Compose too
    if type(transform) is Compose and has_usual_settings(transform):
        return transform_samples(transform.transforms, data)
    try:
        if not isinstance(data, list):
            return transform(data)
        if hasattr(transform, MANY):
            return getattr(transform, MANY)(data)
        return [transform(sample) for sample in data]
    except Exception as error:
        raise RuntimeError(f"applying transform {transform}") from error


def has_usual_settings(compose: Compose) -> bool:
    """Whether each sample of a list goes through all transforms of a Compose, and none is lazy, as by default."""
    return compose.map_items is True and not (compose.unpack_items or compose.log_stats or compose.lazy)
