from __future__ import annotations

import shutil

import numpy as np
import pytest

from semicl_monai.apps.report import report
from semicl_monai.handlers.metrics import METRICS
from semicl_monai.study import read_table, write_table
from semicl_monai.study.results import CASES, CELLS
from semicl_monai.utils import InputError


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    about = [
        {"method": m, "labelled_fraction": f, "split_seed": 0} for m in ("random", "local/block") for f in (0.05, 1.0)
    ]
    cells = [
        {**cell, "labelled_volumes": 120 * cell["labelled_fraction"], "state": "done", "seconds": 9, "cpu_seconds": 9}
        for cell in about
    ]
    cases = [
        {**cell, "case": case, "class": "Front", **{metric: rng.random() for metric in METRICS}}
        for cell in about
        for case in "abcd"
    ]
    write_table(tmp_path / "cases.csv", CASES, cases)
    write_table(tmp_path / "cells.csv", CELLS, cells)
    return tmp_path


def test_it_writes_text_table_curves_and_one_page(folder, capsys):
    report(str(folder))
    text = (folder / "report/report.md").read_text()
    assert "## 0.05: 6 labelled volumes\n" in text
    assert "## Labels saved, and the cost of a run" in capsys.readouterr().out
    assert len(read_table(folder / "report/scores.csv")) == 4 * len(METRICS) * 2
    page = (folder / "report/report.html").read_text()
    assert page.count("data:image/png;base64,") == 1
    assert "http" not in page


def test_the_embeddings_of_one_run_of_each_pretraining_are_in_the_page(folder, capsys):
    for run in ("pretrained/simclr/split_0", "pretrained/simclr/split_1", "local_block/0.05/split_0/local"):
        (folder / run / "eval/pretrain").mkdir(parents=True)
        (folder / run / "eval/pretrain/embedding_global.png").write_bytes(b"\x89PNG")
    report(str(folder), output_dir=str(folder / "elsewhere"))
    page = (folder / "elsewhere/report.html").read_text()
    assert page.count("<h2>pretrained simclr embedding_global</h2>") == 1
    assert page.count("<h2>local_block 0.05 local embedding_global</h2>") == 1
    assert page.count("<img ") == 3


def test_the_two_tables_are_all_it_needs(folder, tmp_path_factory):
    bare = tmp_path_factory.mktemp("bare")
    for name in ("cases.csv", "cells.csv"):
        shutil.copy(folder / name, bare)
    report(str(folder))
    report(str(bare))
    assert (bare / "report/report.md").read_text() == (folder / "report/report.md").read_text()


def test_it_says_when_there_is_no_network_from_scratch_to_count_labels_by(folder, capsys):
    report(str(folder), scratch="rnadom")
    assert "Labels saved are not counted: rnadom is not one of random, local/block" in capsys.readouterr().out


def test_a_table_that_was_cut_off_is_refused(folder):
    file = folder / "cases.csv"
    text = file.read_text()
    for size in (-40, -3):
        file.write_text(text[:size])
        with pytest.raises(InputError, match=r"cases\.csv is cut off: its last line "):
            report(str(folder))


def test_a_table_in_another_encoding_is_refused(folder):
    (folder / "cases.csv").write_bytes("method\nMéthode\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"cases\.csv must be a CSV file in UTF-8, got "):
        report(str(folder))


def test_a_folder_that_cannot_be_written_to_is_refused(folder):
    (folder / "file").touch()
    with pytest.raises(
        InputError, match=r"^cannot write .*/file/label_efficiency\.png: File exists; give a writable --output_dir\.$"
    ):
        report(str(folder), output_dir=str(folder / "file"))


@pytest.mark.filterwarnings("error")
def test_a_study_whose_test_volumes_hold_no_class_ends_in_a_report(folder):
    rows = [{**row, **dict.fromkeys(METRICS, "nan")} for row in read_table(folder / "cases.csv")]
    write_table(folder / "cases.csv", CASES, rows)
    report(str(folder))
    assert {row["mean"] for row in read_table(folder / "report/scores.csv")} == {"nan"}


def test_names_that_are_not_ascii_are_written_as_utf_8(folder):
    for name, columns in (("cases.csv", CASES), ("cells.csv", CELLS)):
        rows = [{**row, "method": row["method"].replace("local", "größer")} for row in read_table(folder / name)]
        write_table(folder / name, columns, rows)
    report(str(folder))
    for name in ("report.md", "report.html", "scores.csv"):
        assert "größer/block" in (folder / "report" / name).read_text(encoding="utf-8")
