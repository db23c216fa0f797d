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
    spatial_size: Sequence[int] = (512, 512, 300), roi_size: Sequence[int] = (40, 56, 40), repeats: int = 7
) -> dict[str, float]:
    """Print the time to draw a patch and a slice with foreground from a volume, and the memory of the volume.

    The volume is noise with a label map of seven classes. The draws use the index of the foreground that is made when
    the volume is prepared. Each draw is compared with a scan of the float32 label map for its foreground, which was
    done for each draw before. Draws and scans are timed alternately. Times are medians.

    Args:
        spatial_size: size of the volume in voxels.
        roi_size: size of a patch in voxels.
        repeats: number of timed draws of each kind.

    Returns:
        The printed numbers: times in ms, memory in MiB, and ratios.
    """
    volume = _volume(spatial_size)
    start = perf_counter()
    packed = pack_volume(volume)
    found = {"pack_ms": 1000 * (perf_counter() - start)} | _times(volume, packed, roi_size, repeats)
    found |= {"float32_MiB": _mebibytes(volume), "kept_MiB": _mebibytes(packed)}
    found["kept_ratio"] = found["kept_MiB"] / found["float32_MiB"]
    for piece in ("patch", "slice"):
        print(f"{piece}: {found[f'{piece}_ms']:.2f} ms, scan of the label map {found[f'{piece}_scan_ms']:.0f} ms")
    print(f"volume: {found['kept_MiB']:.1f} MiB, in float32 {found['float32_MiB']:.1f} MiB: {found['kept_ratio']:.3f}")
    print(f"packing and indexing the volume once: {found['pack_ms']:.0f} ms")
    return found


def _volume(spatial_size: Sequence[int]) -> dict[str, Tensor]:
    """A ball of seven layers, as large as the volume allows."""
    generator = torch.Generator().manual_seed(0)
    axes = [torch.linspace(-1, 1, size).square() for size in spatial_size]
    inside = axes[0][:, None, None] + axes[1][:, None] + axes[2] < 0.5
    layers = torch.arange(spatial_size[0]) * CLASSES // spatial_size[0] + 1
    label = inside * layers[:, None, None]
    return {"image": torch.rand(1, *spatial_size, generator=generator), "label": label[None].to(torch.float32)}


def _times(
    volume: Mapping[str, Tensor], packed: dict[str, Any], roi_size: Sequence[int], repeats: int
) -> dict[str, float]:
    patches = RandPatchesd(KEYS, roi_size, num_samples=1, foreground=1).set_random_state(0)
    slices = RandSlicesd(KEYS, num_samples=1, foreground=1).set_random_state(0)
    in_planes = planes_in_one_piece(packed, slices.axis)
    parts: dict[str, Callable[[], Any]] = {
        "patch_ms": lambda: patches(packed),
        "slice_ms": lambda: slices(in_planes),
        "patch_scan_ms": lambda: _scan_for_voxels(volume["label"][0]),
        "slice_scan_ms": lambda: _scan_for_slices(volume["label"][0]),
    }
    turns = [{name: _milliseconds(part) for name, part in parts.items()} for _ in range(repeats)]
    return {name: median(turn[name] for turn in turns) for name in parts}


def _milliseconds(part: Callable[[], Any]) -> float:
    start = perf_counter()
    part()
    return 1000 * (perf_counter() - start)


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
