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
    "Intervals: 95 %, of a bootstrap over splits and over the volumes of each (with one split, over its volumes "
    "alone). Means over different splits do not compare; a hollow point is of fewer splits than others. In bold: the "
    "best on the splits that all methods of a table have run on. p: paired Wilcoxon signed-rank test of it, which was "
    "chosen on these volumes, against each other, over the volumes of the splits both have run on, with Holm's "
    "correction within the table; volumes of one split share a network, which the test does not know. Labels saved: "
    "interpolated along the logarithm of the labels, on the splits that the method, and the network from scratch with "
    "each amount of labels, have run on. Minutes: of all steps of a run, also those that were shared, beside whatever "
    "else ran."
)


def report(study_dir: str, output_dir: str | None = None, scratch: str = "random") -> None:
    """Write what a study has found, from its ``cases.csv`` and ``cells.csv``.

    ``report.md`` holds Dice and HD95 of every method at every amount of labels, with the 95 % interval of the mean Dice
    over volumes and splits (those of all else are in ``scores.csv``), the paired Wilcoxon tests of the best against
    each other method with Holm's correction, the labels that are saved, and the cost; ``label_efficiency.png`` the
    curves; ``report.html`` all of it in one file, with the embeddings before and after pre-training where the folders
    of the runs are there.

    Args:
        study_dir: folder of the study, or one that holds its two tables.
        output_dir: where to write to, by default ``report`` in ``study_dir``.
        scratch: the method without pre-training, which labels saved are counted against.

    Raises:
        InputError: When the tables are not there, hold no case, or ``output_dir`` cannot be written to.
    """
    folder = Path(str(study_dir)).expanduser()
    entries = read_entries(folder)
    if scratch not in (methods := list(dict.fromkeys(entry.method for entry in entries))):
        print(
            f"No labels saved are counted: {scratch} is none of {', '.join(methods)}; --scratch names another method."
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
    """The embedding spaces of one run of each pre-training."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("**/eval/pretrain/embedding_*.png")):
        *run, _, _, _ = file.relative_to(folder).parts
        name = " ".join(part for part in (*run, file.stem) if not re.fullmatch(r"split_\d+", part))
        found.setdefault(name, file)
    return found
