"""The report of a study: tables, label efficiency, embeddings, one page."""

from __future__ import annotations

import re
from pathlib import Path

from semicl_monai.study import (
    page,
    read_entries,
    save_label_efficiency,
    saving_table,
    score_rows,
    score_tables,
    write_table,
)
from semicl_monai.utils import write_whole

TITLE = "Label efficiency"
ADVICE = "give a writable --output_dir"
NOTES = (
    "Intervals: 95 % bootstrap intervals over splits and over the patients of each split (with one split, over its "
    "patients). Means over different splits cannot be compared. Hollow points: fewer splits. Bold: the best method on "
    "the splits that all methods of a table have in common. p: paired Wilcoxon signed-rank test of the best method "
    "against each other method, over the patients of their common splits, with Holm's correction within the table. The "
    "best method was chosen on the same patients. Patients of one split share a network, but the test treats them as "
    "independent. Labels saved: interpolated over the logarithm of the number of labels, on the common splits of the "
    "method and of the network from scratch at each amount of labels. Minutes: time of all steps of a run, shared "
    "steps included, measured while other steps may have run at the same time."
)


def report(study_dir: str, output_dir: str | None = None, scratch: str = "random") -> None:
    """Write the results of a study from its ``cases.csv`` and ``cells.csv``.

    ``report.md`` has Dice and HD95 of every method at every amount of labels. It gives the 95 % interval of the mean
    Dice over volumes and splits. ``scores.csv`` has the intervals of all other values. ``report.md`` also has the
    paired Wilcoxon tests of the best method against each other method with Holm's correction, the labels saved, and the
    cost. ``label_efficiency.png`` shows the curves. ``report.html`` has everything in one file. If the folders of the
    runs exist, it also shows the embeddings before and after pre-training.

    Args:
        study_dir: folder of the study, or a folder with its two tables.
        output_dir: folder to write to, by default ``report`` in ``study_dir``.
        scratch: the method without pre-training, as the reference for the labels saved.

    Raises:
        InputError: When the tables are missing or hold no case, or ``output_dir`` cannot be written to.
    """
    folder = Path(str(study_dir)).expanduser()
    entries = read_entries(folder)
    if scratch not in (methods := list(dict.fromkeys(entry.method for entry in entries))):
        print(
            f"No labels saved are computed: {scratch} is not one of {', '.join(methods)}. Name another with --scratch."
        )
    tables = [*score_tables(entries), saving_table(entries, scratch)]
    output = Path(str(output_dir)).expanduser() if output_dir else folder / "report"
    text = "\n".join(table.markdown() for table in tables)
    curves = output / "label_efficiency.png"
    save_label_efficiency(entries, scratch, curves)
    rows = score_rows(entries)
    write_table(output / "scores.csv", list(rows[0]), rows)
    head = f"# {TITLE}\n\n![Dice against labels]({curves.name})\n\n"
    write_whole(output / "report.md", f"{head}{text}\n{NOTES}\n", ADVICE)
    pictures = {"Dice against labels": curves, **_embeddings(folder)}
    write_whole(output / "report.html", page(TITLE, tables, pictures, NOTES), ADVICE)
    print(f"{text}\n{NOTES}\n\nAs one page: {output / 'report.html'}")


def _embeddings(folder: Path) -> dict[str, Path]:
    """Return the embedding plots of one run of each pre-training, by name."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("**/eval/pretrain/embedding_*.png")):
        *run, _, _, _ = file.relative_to(folder).parts
        name = " ".join(part for part in (*run, file.stem) if not re.fullmatch(r"split_\d+", part))
        found.setdefault(name, file)
    return found
