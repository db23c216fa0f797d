"""Figures of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

from matplotlib import rcParams
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.ticker import ScalarFormatter

from semicl_monai.study.entries import Entry
from semicl_monai.study.statistics import interval_of, mean_of
from semicl_monai.utils import write_whole


def save_label_efficiency(entries: Sequence[Entry], scratch: str, file: Path) -> None:
    """Draw mean Dice against labelled volumes: a line with its 95 % band per method, and ``scratch`` with all labels.

    A point is hollow if the method has run on fewer splits than other methods with as many labels. Entries without Dice
    or without labels are not drawn.

    Args:
        entries: all entries of the study.
        scratch: the method without pre-training.
        file: picture to write.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.set(xlabel="labelled volumes", ylabel="mean Dice of the test volumes")
    axes.grid(alpha=0.3)
    entries = [entry for entry in entries if 0 < entry.volumes < math.inf and math.isfinite(mean_of(entry.dice))]
    if entries:
        _draw(axes, entries, scratch)
    picture = BytesIO()
    figure.savefig(picture, dpi=120, format="png")
    write_whole(file, picture.getbuffer(), "give a writable --output_dir")


def _draw(axes: Axes, entries: Sequence[Entry], scratch: str) -> None:
    axes.set_prop_cycle(cycler(linestyle=["-", "--", ":"]) * rcParams["axes.prop_cycle"])
    splits = {fraction: _most_splits(entries, fraction) for fraction in {entry.fraction for entry in entries}}
    for method in dict.fromkeys(entry.method for entry in entries):
        _draw_line(axes, [entry for entry in entries if entry.method == method], splits)
    most = max((entry for entry in entries if entry.method == scratch), key=lambda entry: entry.volumes, default=None)
    if most is not None:
        label = f"{scratch}, {most.volumes:g} labels"
        axes.axhline(mean_of(most.dice), color="black", linestyle="--", linewidth=1, label=label)
    axes.set_xscale("log")
    axes.set_xticks(sorted({entry.volumes for entry in entries}), minor=False)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(lambda *_: "")
    axes.legend(fontsize="small")


def _most_splits(entries: Sequence[Entry], fraction: str) -> int:
    return max(entry.splits for entry in entries if entry.fraction == fraction)


def _draw_line(axes: Axes, entries: Sequence[Entry], splits: Mapping[str, int]) -> None:
    """Draw the line, the band and the points of a method. Points with fewer than ``splits`` splits are hollow."""
    volumes, dice = [entry.volumes for entry in entries], [mean_of(entry.dice) for entry in entries]
    low, high = zip(*(interval_of(entry.dice, patients=entry.patients) for entry in entries), strict=True)
    (line,) = axes.plot(volumes, dice, label=entries[0].method)
    axes.fill_between(volumes, low, high, color=line.get_color(), alpha=0.1)
    faces = [line.get_color() if entry.splits == splits[entry.fraction] else "white" for entry in entries]
    axes.scatter(volumes, dice, color=faces, edgecolor=line.get_color(), zorder=line.get_zorder() + 1)
