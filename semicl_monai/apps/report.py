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
    "Intervals: 95 %, by a bootstrap over splits and over the volumes of each split (with one split, only over "
    "its volumes). Means over different splits cannot be compared. A hollow point has fewer splits than other "
    "points. In bold: the best method on the splits that all methods of a table have run on. p: paired Wilcoxon "
    "signed-rank test of the best method against each other method, over the volumes of the splits that both have"
    " run on, with Holm's correction within the table. The best method was chosen on the same volumes. Volumes of"
    " one split share a network, and the test does not account for this. Labels saved: interpolated along the "
    "logarithm of the number of labels, on the splits that the method and the network from scratch with each "
    "amount of labels have run on. Minutes: time of all steps of a run, including shared steps. Other processes "
    "may have run at the same time."
)


def report(study_dir: str, output_dir: str | None = None, scratch: str = "random") -> None:
    """Write the report of a study from its ``cases.csv`` and ``cells.csv``.

    - ``report.md`` holds Dice and HD95 of every method at every amount of labels, with the 95 % interval of the mean
      Dice over volumes and splits. It also holds the paired Wilcoxon tests of the best method against each other method
      with Holm's correction, the labels saved, and the cost.
    - ``scores.csv`` holds all means with their intervals.
    - ``label_efficiency.png`` shows the curves.
    - ``report.html`` holds all results in one file. It also shows the embeddings before and after pre-training if the
      folders of the runs exist.

    Args:
        study_dir: folder of the study, or another folder with its two tables.
        output_dir: output folder. The default is ``report`` in ``study_dir``.
        scratch: the method without pre-training. The labels saved are counted against this method.

    Raises:
        InputError: When the tables do not exist or hold no case, or ``output_dir`` cannot be written to.
    """
    folder = Path(str(study_dir)).expanduser()
    entries = read_entries(folder)
    if scratch not in (methods := list(dict.fromkeys(entry.method for entry in entries))):
        print(f"Labels saved are not counted: {scratch} is not one of {', '.join(methods)}; give another --scratch.")
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
    """Return the pictures of the embeddings, from one run of each pre-training."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("**/eval/pretrain/embedding_*.png")):
        *run, _, _, _ = file.relative_to(folder).parts
        name = " ".join(part for part in (*run, file.stem) if not re.fullmatch(r"split_\d+", part))
        found.setdefault(name, file)
    return found
