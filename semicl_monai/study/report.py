"""The report of a study: its tables, as text and as an HTML page."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from semicl_monai.handlers.metrics import METRICS
from semicl_monai.study.entries import ALL_CLASSES, Entry, shared_splits
from semicl_monai.study.statistics import interval_of, labels_needed, mean_of, p_values
from semicl_monai.utils import markdown_table

MEAN_DICE = "Dice mean (95 % interval)"
STYLE = "body{font-family:sans-serif;max-width:70em;margin:auto}td,th{padding:.2em .6em}img{max-width:100%}"


@dataclass(frozen=True)
class Table:
    """A table with a title. Its cells are texts. A text that begins with ``**`` is shown in bold."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        return f"## {self.title}\n\n{markdown_table(self.columns, self.rows)}\n"

    def html(self) -> str:
        """Return the table as HTML."""
        lines = [self._line("th", self.columns), *(self._line("td", row) for row in self.rows)]
        return f"<h2>{escape(self.title)}</h2>\n<table>\n" + "\n".join(lines) + "\n</table>"

    @staticmethod
    def _line(tag: str, cells: Sequence[str]) -> str:
        texts = (f"<b>{escape(cell.strip('*'))}</b>" if cell.startswith("**") else escape(cell) for cell in cells)
        return "<tr>" + "".join(f"<{tag}>{text}</{tag}>" for text in texts) + "</tr>"


def score_tables(entries: Sequence[Entry]) -> list[Table]:
    """Return a table for each amount of labels, with Dice of each class, mean Dice, HD95 and p-value.

    The best method is in bold. It has the highest mean Dice on the splits that all methods have run on. Without such a
    split no method is in bold. ``p`` tests the difference between the best method and each other method. See
    :func:`semicl_monai.study.p_values`.
    """
    fractions = dict.fromkeys(entry.fraction for entry in entries)
    return [_score_table([entry for entry in entries if entry.fraction == fraction]) for fraction in fractions]


def _score_table(entries: Sequence[Entry]) -> Table:
    first, best = entries[0], _best(entries)
    rivals = [entry for entry in entries if best and entry is not best]
    p = dict(zip([entry.method for entry in rivals], p_values(best, rivals) if best else [], strict=True))
    columns = ["method", "splits", *(f"Dice {name}" for name in first.classes), MEAN_DICE, "HD95, mm", "p"]
    rows = [_scores(entry, p.get(entry.method), entry is best) for entry in entries]
    return Table(f"{first.fraction}: {first.volumes:g} labelled volumes", columns, rows)


def _best(entries: Sequence[Entry]) -> Entry | None:
    shared = shared_splits(entries)
    dice = {entry.method: mean_of(entry.dice_on(shared)) for entry in entries}
    known = [entry for entry in entries if not math.isnan(dice[entry.method])]
    return max(known, key=lambda entry: dice[entry.method], default=None)


def _scores(entry: Entry, p: float | None, best: bool) -> list[str]:
    texts = [entry.method, f"{entry.splits}", *(f"{mean_of(entry.values['dice'][name]):.3f}" for name in entry.classes)]
    low, high = interval_of(entry.dice, patients=entry.patients)
    interval = f" ({low:.3f} to {high:.3f})" if len(entry.dice) > 1 else ""
    texts.append(f"{mean_of(entry.dice):.3f}{interval}")
    texts.append(f"{mean_of(entry.values['hd95'][ALL_CLASSES]):.2f}")
    return [*(f"**{text}**" if best else text for text in texts), "" if p is None else f"{p:.2g}"]


def saving_table(entries: Sequence[Entry], scratch: str) -> Table:
    """Return the number of labels that training from scratch needs for the Dice of each method, and the cost of a run.

    The comparison uses only splits with all runs: the method, and the network from scratch with every amount of labels.
    """
    base = [entry for entry in entries if entry.method == scratch]
    needed = [f"labels {scratch} needs for this Dice", "labels saved", "on splits"]
    columns = ["method", "labels", *needed, "minutes", "CPU minutes"]
    return Table("Labels saved, and the cost of a run", columns, [_saving(entry, base) for entry in entries])


def _saving(entry: Entry, scratch: Sequence[Entry]) -> list[str]:
    cost = ["" if math.isnan(minutes) else f"{minutes:.1f}" for minutes in (entry.minutes, entry.cpu_minutes)]
    return [entry.method, f"{entry.volumes:g}", *_labels(entry, scratch), *cost]


def _labels(entry: Entry, scratch: Sequence[Entry]) -> list[str]:
    """Return as text: the labels that training from scratch needs, the labels saved, and the number of splits."""
    shared = shared_splits([entry, *scratch])
    if not scratch or not shared:
        return ["", "", ""]
    curve = {other.volumes: mean_of(other.dice_on(shared)) for other in scratch}
    curve = {volumes: value for volumes, value in curve.items() if volumes > 0 and not math.isnan(value)}
    dice = mean_of(entry.dice_on(shared))
    if not curve or math.isnan(dice):
        return ["", "", f"{len(shared)}"]
    needed = labels_needed(dice, curve)
    return [*_in_words(needed, entry.volumes, min(curve), max(curve)), f"{len(shared)}"]


def _in_words(needed: float, used: float, least: float, most: float) -> list[str]:
    if math.isfinite(needed):
        return [f"{needed:.1f}", f"{round(needed - used, 1) + 0:.1f}"]  # no "-0.0"
    if math.isinf(needed):
        return [f"more than {most:g}", f"more than {most - used:g}"]
    return [f"fewer than {least:g}", "none" if used >= least else f"fewer than {least - used:g}"]


def score_rows(entries: Sequence[Entry]) -> list[dict[str, object]]:
    """Return one row for each method, amount of labels, class and metric, with the mean and its interval."""
    return [_score_row(entry, metric, name) for entry in entries for metric in METRICS for name in entry.values[metric]]


def _score_row(entry: Entry, metric: str, name: str) -> dict[str, object]:
    values = entry.values[metric][name]
    low, high = interval_of(values, patients=entry.patients)
    return {
        "method": entry.method,
        "labelled_fraction": entry.fraction,
        "labelled_volumes": f"{entry.volumes:g}",
        "splits": entry.splits,
        "class": name,
        "metric": metric,
        "mean": f"{mean_of(values):.4f}",
        "low": f"{low:.4f}",
        "high": f"{high:.4f}",
    }


def page(title: str, tables: Sequence[Table], pictures: Mapping[str, Path], notes: str) -> str:
    """Return one HTML page with the tables, the notes and the embedded pictures."""
    head = (
        f'<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    )
    parts = [table.html() for table in tables] + [f"<p>{escape(notes)}</p>"]
    parts += [_picture(name, file) for name, file in pictures.items()]
    return "\n".join([head, f"<h1>{escape(title)}</h1>", *parts, "</html>", ""])


def _picture(name: str, file: Path) -> str:
    data = b64encode(file.read_bytes()).decode()
    return f'<h2>{escape(name)}</h2>\n<img alt="{escape(name)}" src="data:image/png;base64,{data}">'
