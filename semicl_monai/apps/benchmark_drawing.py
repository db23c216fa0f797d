"""Benchmark of drawing patches and slices from a large volume, and of the memory of this volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from semicl_monai.transforms import RandPatchesd, RandSlicesd
from semicl_monai.utils import pack_volume, planes_in_one_piece

KEYS = ("image", "label")
CLASSES = 7


def benchmark_drawing(
    spatial_size: tuple[int, int, int] = (512, 512, 300),
    roi_size: tuple[int, int, int] = (40, 56, 40),
    repeats: int = 7,
) -> None:
    """Print the time to draw a patch and a slice with foreground from a volume, and the memory of the volume.

    The volume is noise with a label map of seven classes. The draws use the index of the foreground that is made when
    the volume is prepared. Each draw is compared with a scan of the float32 label map for its foreground. Without the
    index, every draw makes such a scan. Draws and scans are timed alternately. Times are medians.

    Args:
        spatial_size: size of the volume in voxels.
        roi_size: size of a patch in voxels.
        repeats: number of timed turns.
    """
    volume = _volume(spatial_size)
    start = perf_counter()
    packed = pack_volume(volume)
    packing = 1000 * (perf_counter() - start)
    times = _times(volume, packed, roi_size, repeats)
    for piece in ("patch", "slice"):
        print(f"{piece:8}{times[piece]:10.2f} ms, scan of the label map {times[f'{piece} scan']:10.2f} ms")
    kept, whole = _mebibytes(packed), _mebibytes(volume)
    print(f"volume  {kept:10.2f} MiB, in float32 {whole:.2f} MiB: ratio {kept / whole:.3f}")
    print(f"prepare {packing:10.2f} ms once, to convert and to index the volume")


def _volume(spatial_size: Sequence[int]) -> dict[str, Tensor]:
    """A ball of seven layers, as large as the volume allows."""
    generator = torch.Generator().manual_seed(0)
    axes = [torch.linspace(-1, 1, size).square() for size in spatial_size]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] < 0.5
    layers = torch.arange(spatial_size[0]) * CLASSES // spatial_size[0] + 1
    label = inside * layers[:, None, None]
    return {"image": torch.rand(1, *spatial_size, generator=generator), "label": label[None].to(torch.float32)}


def _times(
    volume: Mapping[str, Tensor], packed: Mapping[Any, Any], roi_size: Sequence[int], repeats: int
) -> dict[str, float]:
    """Median times in ms."""
    patches = RandPatchesd(KEYS, roi_size, num_samples=1, foreground=1)
    slices = RandSlicesd(KEYS, num_samples=1, foreground=1)
    in_planes = planes_in_one_piece(packed, slices.axis)
    parts: dict[str, Callable[[], Any]] = {
        "patch": lambda: patches(packed),
        "slice": lambda: slices(in_planes),
        "patch scan": lambda: _scan_for_voxels(volume["label"][0]),
        "slice scan": lambda: _scan_for_slices(volume["label"][0]),
    }
    for transform in (patches, slices):
        transform.set_random_state(0)
    numbers = {name: 1 if "scan" in name else 10 for name in parts}
    turns = [{name: _milliseconds(part, numbers[name]) for name, part in parts.items()} for _ in range(repeats)]
    return {name: median(turn[name] for turn in turns) for name in parts}


def _milliseconds(part: Callable[[], Any], number: int) -> float:
    start = perf_counter()
    for _ in range(number):
        part()
    return 1000 * (perf_counter() - start) / number


def _scan_for_voxels(label: Tensor) -> list[Tensor]:
    voxels = (label > 0).nonzero()
    classes = label[tuple(voxels.T)]
    return [voxels[classes == number] for number in classes.unique()]


def _scan_for_slices(label: Tensor) -> Tensor:
    return (label > 0).sum([0, 1]).nonzero()


def _mebibytes(value: Any) -> float:
    if isinstance(value, Mapping):
        return sum(map(_mebibytes, value.values()))
    if isinstance(value, list):
        return sum(map(_mebibytes, value))
    return value.nbytes / 2**20 if torch.is_tensor(value) else 0.0
