"""The supervised contrastive loss, next to the matrix products it cannot avoid and to the dense formula."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from semicl_monai.losses import SupConLoss

from .tools import elapsed, main, medians

TEMPERATURE = 0.1
LARGEST = 2**23  # similarities of a tile, 32 MiB


def measure(
    pixels: int = 8192, channels: int = 128, anchors: float = 0.08, repeats: int = 5, dense: bool = True
) -> dict[str, float]:
    """Return seconds forward and backward, seconds per pair, peak memory, and ratios to products and dense formula.

    The three are timed in turn. The ratios are medians over the turns.

    Args:
        pixels: number of embeddings.
        channels: length of an embedding.
        anchors: share of the embeddings that are anchors, of two classes.
        repeats: number of turns. With 0, only the run that measures the memory is timed.
        dense: whether to run products and dense formula too.
    """
    generator = torch.Generator().manual_seed(0)
    input = torch.randn(pixels, channels, generator=generator)
    target = torch.randint(1, 3, (pixels,), generator=generator)
    target[torch.rand(pixels, generator=generator) >= anchors] = 0
    loss = SupConLoss(temperature=TEMPERATURE, background_index=0)
    memory, profiled = _profile(partial(_backward, loss, input, target))
    runs: list[Callable[[], object]] = [partial(_backward, loss, input, target)]
    if dense:
        runs += [_products(input[target > 0], input), partial(_backward, _dense, input, target)]
        runs[1]()
    turns = [[elapsed(run) for run in runs] for _ in range(repeats)] or [[profiled]]
    wall, cpu = medians([turn[0] for turn in turns])
    pairs = pixels * int((target > 0).sum())
    found = {"loss s": wall, "loss CPU s": cpu, "CPU ns a pair": cpu * 1e9 / pairs, "peak MiB": memory}
    if dense:
        for name, number in (("", 0), (" by CPU", 1)):
            found[f"loss / four products{name}"] = median(turn[0][number] / turn[1][number] for turn in turns)
            found[f"dense formula / loss{name}"] = median(turn[2][number] / turn[0][number] for turn in turns)
    return found


def _backward(loss: Callable[[Tensor, Tensor], Tensor], input: Tensor, target: Tensor) -> None:
    loss(input.clone().requires_grad_(), target).backward()


def _products(anchors: Tensor, keys: Tensor) -> Callable[[], None]:
    """Return the four products of anchors and keys in tiles.

    The first one gives the similarities. The backward pass needs them again, and gives gradients of anchors and keys.
    """
    rows = max(1, LARGEST // len(keys))
    tile = torch.empty(min(rows, len(anchors)), len(keys))
    of_anchors, of_keys = torch.empty_like(anchors), torch.zeros_like(keys)

    def run() -> None:
        for start in range(0, len(anchors), rows):
            some = anchors[start : start + rows]
            similarities = tile[: len(some)]
            torch.mm(some, keys.T, out=similarities)
            torch.mm(some, keys.T, out=similarities)
            torch.mm(similarities, keys, out=of_anchors[start : start + rows])
            of_keys.addmm_(similarities.T, some)

    return run


def _dense(input: Tensor, target: Tensor) -> Tensor:
    """Compute the loss as public implementations do, with N x N matrices."""
    embeddings = F.normalize(input, dim=1)
    logits = embeddings @ embeddings.T / TEMPERATURE
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(target))
    positives = (target[:, None] == target[None]).float() * others
    log_probability = logits - torch.log((logits.exp() * others).sum(dim=1, keepdim=True))
    anchors = target > 0
    return -((positives * log_probability).sum(dim=1)[anchors] / positives.sum(dim=1)[anchors]).mean()


def _profile(run: Callable[[], object]) -> tuple[float, tuple[float, float]]:
    """Return the peak in MiB of the memory that torch allocates during a run, and the seconds of the run."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        seconds = elapsed(run)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    records = [event["args"] for event in events if event["name"] == "[memory]"]
    before = records[0]["Total Allocated"] - records[0]["Bytes"]
    return float(max(record["Total Allocated"] for record in records) - before) / 2**20, seconds


if __name__ == "__main__":
    main(measure)
