"""Figures of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from semicl_monai.study.entries import Entry
from semicl_monai.study.statistics import interval_of, mean_of


def save_label_efficiency(entries: Sequence[Entry], scratch: str, file: Path) -> None:
    """Draw mean Dice against labelled volumes, a line a method with its 95 % band, and ``scratch`` with all labels.

    Args:
        entries: all of the study.
        scratch: the method that is not pre-trained.
        file: picture to write.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for method in dict.fromkeys(entry.method for entry in entries):
        own = [entry for entry in entries if entry.method == method]
        volumes = [entry.volumes for entry in own]
        (line,) = axes.plot(volumes, [mean_of(entry.dice) for entry in own], marker="o", label=method)
        low, high = zip(*(interval_of(entry.dice) for entry in own), strict=True)
        axes.fill_between(volumes, low, high, color=line.get_color(), alpha=0.1)
    most = max((entry for entry in entries if entry.method == scratch), key=lambda entry: entry.volumes, default=None)
    if most is not None:
        label = f"{scratch}, {most.volumes:g} labels"
        axes.axhline(mean_of(most.dice), color="black", linestyle="--", linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_xticks(sorted({entry.volumes for entry in entries}), minor=False)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.set(xlabel="labelled volumes", ylabel="mean Dice of the test volumes")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)
