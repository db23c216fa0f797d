"""The report of a study: tables, label efficiency, embeddings, one page."""

from __future__ import annotations

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
from semicl_monai.utils import InputError


def report(study_dir: str, output_dir: str | None = None, scratch: str = "random") -> None:
    """Write what a study has found, from its ``cases.csv`` and ``cells.csv``.

    ``report.md`` and ``scores.csv`` hold Dice and HD95 of every method at every amount of labels with 95 % intervals
    over volumes and splits, the paired Wilcoxon tests of the best against each other method with Holm's correction,
    the labels that are saved, and the cost; ``label_efficiency.png`` the curves; ``report.html`` all of it in one file,
    with the embeddings before and after pre-training where the folders of the runs are there.

    Args:
        study_dir: folder of the study, or one that holds its two tables.
        output_dir: where to write to, by default ``report`` in ``study_dir``.
        scratch: the method without pre-training, which labels saved are counted against.

    Raises:
        InputError: When the tables are not there, hold no case, or ``output_dir`` cannot be written to.
    """
    folder = Path(study_dir).expanduser()
    entries = read_entries(folder)
    tables = [*score_tables(entries), saving_table(entries, scratch)]
    output = Path(output_dir).expanduser() if output_dir else folder / "report"
    try:
        output.mkdir(parents=True, exist_ok=True)
        curves = output / "label_efficiency.png"
        save_label_efficiency(entries, scratch, curves)
        rows = score_rows(entries)
        write_table(output / "scores.csv", list(rows[0]), rows)
        text = "\n".join(table.markdown() for table in tables)
        (output / "report.md").write_text(f"# Label efficiency\n\n![Dice against labels]({curves.name})\n\n{text}")
        pictures = {"Dice against labels": curves, **_embeddings(folder)}
        (output / "report.html").write_text(page("Label efficiency", tables, pictures))
    except OSError as error:
        raise InputError(f"the report cannot be written to {output}: {error.strerror}.") from error
    print(f"{text}\nAs one page: {output / 'report.html'}")


def _embeddings(folder: Path) -> dict[str, Path]:
    """The embedding spaces of one run of each pre-training."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("**/eval/pretrain/embedding_*.png")):
        parts = file.relative_to(folder).parts
        found.setdefault(f"{' '.join(parts[:-3])}".partition(" split")[0], file)
    return {f"Embeddings: {name}": file for name, file in found.items()}
