"""Time and memory that the exact loss in linear memory saves over the usual dense formula."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from semicl_monai.losses import SupConLoss

Loss = Callable[[Tensor, Tensor], Tensor]

TEMPERATURE = 0.1
COLUMNS = (
    "pixels",
    "ours_s",
    "dense_s",
    "times_faster",
    "ours_MiB",
    "dense_MiB",
    "times_less",
    "value_diff",
    "grad_diff",
)


def benchmark_loss(
    num_pixels: Sequence[int] = (8192, 131072),
    channels: int = 128,
    foreground: float = 0.08,
    repeats: int = 5,
    dense_limit: int = 8192,
) -> list[dict[str, float | None]]:
    """Compare :class:`semicl_monai.losses.SupConLoss` with the dense formula: time, memory, value and gradient.

    Both run forward and backward in this process, on the same random embeddings of two foreground classes and
    background. The two formulas take turns. Times are medians over the turns. The ratio of times is the median of the
    ratios within a turn.

    Memory is the peak of the memory allocated by torch's CPU allocator, from the allocations that ``torch.profiler``
    records. The inputs, which are allocated before, do not count. Memory of other libraries does not count either.
    Unlike a process's resident size, this peak is the same in every run and does not depend on earlier frees.

    Args:
        num_pixels: numbers of embeddings to measure.
        channels: length of an embedding.
        foreground: fraction of the embeddings that are anchors.
        repeats: number of timed runs.
        dense_limit: largest number of embeddings for the dense formula, whose memory grows with its square.

    Returns:
        One row for each number of embeddings, with ``None`` where the dense formula did not run. Differences are
        relative. That of the gradients is the largest absolute difference over the largest absolute gradient.
    """
    print(" ".join(f"{column:>12}" for column in COLUMNS))
    rows = []
    for number in num_pixels:
        row = _measure(*_embeddings(number, channels, foreground), repeats=repeats, with_dense=number <= dense_limit)
        print(" ".join(f"{'-' if row[column] is None else format(row[column], '.4g'):>12}" for column in COLUMNS))
        rows.append(row)
    return rows


def _embeddings(number: int, channels: int, foreground: float) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    input = torch.randn(number, channels, generator=generator)
    classes = torch.randint(1, 3, (number,), generator=generator)
    is_background = torch.rand(number, generator=generator) >= foreground
    return input, classes.masked_fill(is_background, 0)


def _measure(input: Tensor, target: Tensor, repeats: int, with_dense: bool) -> dict[str, float | None]:
    exact = SupConLoss(temperature=TEMPERATURE, background_index=0)
    losses: list[Loss] = [exact, _dense_supcon] if with_dense else [exact]
    results = [_value_and_gradient(loss, input, target) for loss in losses]
    memory = [_peak_memory(loss, input, target) for loss in losses]
    turns = [[_seconds(loss, input, target) for loss in losses] for _ in range(repeats)]
    row: dict[str, float | None] = dict.fromkeys(COLUMNS)
    row |= {"pixels": len(input), "ours_s": median(turn[0] for turn in turns), "ours_MiB": memory[0]}
    if with_dense:
        row |= {"dense_s": median(turn[1] for turn in turns), "dense_MiB": memory[1]}
        row |= {"times_faster": median(turn[1] / turn[0] for turn in turns), "times_less": memory[1] / memory[0]}
        row |= dict(zip(("value_diff", "grad_diff"), map(_difference, *results), strict=True))
    return row


def _value_and_gradient(loss: Loss, input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    input = input.clone().requires_grad_()
    value = loss(input, target)
    value.backward()
    return value.detach(), input.grad if input.grad is not None else torch.zeros_like(input)


def _seconds(loss: Loss, input: Tensor, target: Tensor) -> float:
    start = perf_counter()
    _value_and_gradient(loss, input, target)
    return perf_counter() - start


def _peak_memory(loss: Loss, input: Tensor, target: Tensor) -> float:
    """Peak of the allocated memory in MiB, from the profiler's record of every allocation."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        _value_and_gradient(loss, input, target)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text())["traceEvents"]
    records = [event["args"] for event in events if event["name"] == "[memory]"]
    before = records[0]["Total Allocated"] - records[0]["Bytes"]
    peak: int = max(record["Total Allocated"] for record in records) - before
    return peak / 2**20


def _difference(ours: Tensor, dense: Tensor) -> float:
    return float((ours - dense).abs().max() / dense.abs().max())


def _dense_supcon(input: Tensor, target: Tensor) -> Tensor:
    """Return the loss as public implementations compute it, with N x N matrices."""
    embeddings = F.normalize(input, dim=1)
    logits = embeddings @ embeddings.T / TEMPERATURE
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    others = 1 - torch.eye(len(target))
    positives = (target[:, None] == target[None]).float() * others
    log_probability = logits - torch.log((logits.exp() * others).sum(dim=1, keepdim=True))
    anchors = target > 0
    return -((positives * log_probability).sum(dim=1)[anchors] / positives.sum(dim=1)[anchors]).mean()
