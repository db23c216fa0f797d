"""The report of a study: its tables, as text and as a page."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from semicl_monai.handlers.case_metrics import METRICS
from semicl_monai.study.entries import ALL_CLASSES, Entry
from semicl_monai.study.statistics import interval_of, labels_needed, mean_of, p_values

STYLE = "body{font-family:sans-serif;max-width:70em;margin:auto}td,th{padding:.2em .6em}img{max-width:100%}"


@dataclass(frozen=True)
class Table:
    """A table with a title; cells are texts, in bold where they begin with ``**``."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return f"## {self.title}\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"

    def html(self) -> str:
        """Return it as HTML."""
        lines = [self._line("th", self.columns), *(self._line("td", row) for row in self.rows)]
        return f"<h2>{escape(self.title)}</h2>\n<table>\n" + "\n".join(lines) + "\n</table>"

    @staticmethod
    def _line(tag: str, cells: Sequence[str]) -> str:
        texts = (f"<b>{escape(cell.strip('*'))}</b>" if cell.startswith("**") else escape(cell) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"


def score_tables(entries: Sequence[Entry]) -> list[Table]:
    """Return a table for each amount of labels: Dice of each class and of their mean, HD95, and whether it is the best.

    The highest mean Dice is in bold; ``p`` is that of its difference from each other, see
    :func:`semicl_monai.study.statistics.p_values`.
    """
    fractions = dict.fromkeys(entry.fraction for entry in entries)
    return [_score_table([entry for entry in entries if entry.fraction == fraction]) for fraction in fractions]


def _score_table(entries: Sequence[Entry]) -> Table:
    best = max(entries, key=lambda entry: mean_of(entry.dice))
    rivals = [entry for entry in entries if entry is not best]
    p = dict(zip([entry.method for entry in rivals], p_values(best, rivals), strict=True))
    columns = ["method", *(f"Dice {name}" for name in best.classes), "Dice mean (95 % interval)", "HD95, mm", "p"]
    rows = [_scores(entry, p.get(entry.method)) for entry in entries]
    splits = f"{best.splits} split{'s' if best.splits > 1 else ''}"
    return Table(f"{best.fraction}: {best.volumes:g} labelled volumes, {splits}", columns, rows)


def _scores(entry: Entry, p: float | None) -> list[str]:
    low, high = interval_of(entry.dice)
    texts = [f"{mean_of(entry.values['dice'][name]):.3f}" for name in entry.classes]
    texts.append(f"{mean_of(entry.dice):.3f} ({low:.3f} to {high:.3f})")
    texts.append(f"{mean_of(entry.values['hd95'][ALL_CLASSES]):.2f}")
    if p is None:
        return [*(f"**{text}**" for text in (entry.method, *texts)), ""]
    return [entry.method, *texts, f"{p:.2g}"]


def saving_table(entries: Sequence[Entry], scratch: str) -> Table:
    """Return how many labels the network from scratch needs for the Dice of each method, and what a run has cost."""
    base = [entry for entry in entries if entry.method == scratch]
    columns = ["method", "labels", f"labels {scratch} needs for this Dice", "labels saved", "minutes", "CPU minutes"]
    return Table("Labels saved, and the cost of a run", columns, [_saving(entry, base) for entry in entries])


def _saving(entry: Entry, scratch: Sequence[Entry]) -> list[str]:
    cost = [f"{entry.minutes:.1f}", f"{entry.cpu_minutes:.1f}"]
    if not scratch:
        return [entry.method, f"{entry.volumes:g}", "", "", *cost]
    least, most = min(other.volumes for other in scratch), max(other.volumes for other in scratch)
    needed = labels_needed(mean_of(entry.dice), scratch)
    if math.isnan(needed):
        counts = [f"fewer than {least:g}", "none"]
    elif math.isinf(needed):
        counts = [f"more than {most:g}", f"more than {most - entry.volumes:g}"]
    else:
        counts = [f"{needed:.1f}", f"{needed - entry.volumes:.1f}"]
    return [entry.method, f"{entry.volumes:g}", *counts, *cost]


def score_rows(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Return every mean with its interval, a row for each method, amount of labels, class and metric."""
    return [
        {
            "method": entry.method,
            "labelled_fraction": entry.fraction,
            "labelled_volumes": f"{entry.volumes:g}",
            "splits": entry.splits,
            "class": name,
            "metric": metric,
            "mean": f"{mean_of(values):.4f}",
            "low": f"{interval_of(values)[0]:.4f}",
            "high": f"{interval_of(values)[1]:.4f}",
        }
        for entry in entries
        for metric in METRICS
        for name, values in entry.values[metric].items()
    ]


def page(title: str, tables: Sequence[Table], pictures: Mapping[str, Path]) -> str:
    """Return one HTML page that holds the tables and the pictures themselves."""
    head = (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    )
    parts = [table.html() for table in tables] + [_picture(name, file) for name, file in pictures.items()]
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *parts, "</html>", ""])


def _picture(name: str, file: Path) -> str:
    data = b64encode(file.read_bytes()).decode()
    return f'<h2>{escape(name)}</h2>\n<img alt="{escape(name)}" src="data:image/png;base64,{data}">'
