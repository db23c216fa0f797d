from __future__ import annotations

import io
import json
import logging

import pytest
from ignite.engine import Engine

from semicl_monai.handlers import EpochProgress
from semicl_monai.study import Progress, Record, make_cells, read_table, read_variants

MEANS = {metric: {"mean": 0.8125} for metric in ("dice", "hd95", "asd")}
COMMON = {"pretrain": {}, "train": {}, "evaluate": {}}


@pytest.fixture
def study(runner, tmp_path):
    """Two methods on two splits, and a progress that nothing has been told yet."""
    cells = make_cells(read_variants(["random", "local"])[0], [6], [0, 1], COMMON)
    short = runner(workers=2)
    return Progress(tmp_path, cells, short), cells, short


def finish(progress, runner, step, seconds=10.0, state="done", error=None):
    """Do what the runner does when a step is over."""
    if step.stage == "evaluate" and state == "done":
        folder = runner.place(step) / "eval/evaluate"
        folder.mkdir(parents=True)
        (folder / "summary.json").write_text(json.dumps({"num_cases": 1, "classes": {"mean": MEANS}}))
        (folder / "split.json").write_text(json.dumps({"labelled": ["x"]}))
        (folder / "cases.csv").write_text("case,class,dice,hd95,asd\nc,Front,0.81254,1.5,nan\n")
    if step.stage == "train":
        (runner.place(step) / "eval/train").mkdir(parents=True)
        (runner.place(step) / "eval/train/split.json").write_text(json.dumps({"labelled": ["x", "y"]}))
    record = runner.records[step.key] = Record(step.key, state, seconds, 2 * seconds, 100.0, error)
    progress(step, record)


def test_it_tells_what_was_done_and_how_long_the_rest_may_take(study, capsys):
    progress, cells, runner = study
    train, evaluate = cells[0].last.chain()
    finish(progress, runner, train, 100)
    finish(progress, runner, evaluate, 10)
    first, second = capsys.readouterr().out.splitlines()
    # 2 cells of 2 steps, 2 of 3; two at a time; a stage not seen yet is taken for the mean of all
    assert first == "[1/10] random/6/split_0, train: done in 0:01:40; about 0:07:30 left"
    assert second == "[2/10] random/6/split_0, evaluate: mean Dice 0.812 in 0:00:10; about 0:03:40 left"


def test_the_last_step_leaves_nothing_to_wait_for(study, capsys):
    progress, cells, runner = study
    for cell in cells:
        for step in cell.last.chain():
            finish(progress, runner, step)
    assert capsys.readouterr().out.splitlines()[-1] == "[10/10] local/6/split_1, evaluate: mean Dice 0.812 in 0:00:10"


def test_the_tables_hold_what_is_done_and_what_each_cell_has_cost(study, tmp_path):
    progress, cells, runner = study
    for step in cells[1].last.chain():
        finish(progress, runner, step)
    (case,) = read_table(tmp_path / "cases.csv")
    assert case == {
        **{"method": "local", "labelled_fraction": "6", "split_seed": "0", "case": "c", "patient": "c"},
        "class": "Front",
        **{"dice": "0.8125", "hd95": "1.5000", "asd": "nan"},
    }
    (cell,) = read_table(tmp_path / "cells.csv")
    assert (cell["labelled_volumes"], cell["state"], cell["seconds"], cell["cpu_seconds"]) == ("2", "done", "30", "60")


def test_the_tables_keep_what_an_earlier_grid_has_done(study, tmp_path):
    progress, cells, runner = study
    for step in cells[0].last.chain():
        finish(progress, runner, step)
    mean = make_cells(read_variants(["mixup"])[0], [6], [0], COMMON)
    for step in mean[0].last.chain():
        finish(Progress(tmp_path, mean, runner), runner, step)
    assert [row["method"] for row in read_table(tmp_path / "cases.csv")] == ["random", "mixup"]
    assert [row["method"] for row in read_table(tmp_path / "cells.csv")] == ["random", "mixup"]


def test_a_failure_is_told_and_in_the_table_of_cells_alone(study, tmp_path, capsys):
    progress, cells, runner = study
    for step in cells[0].last.chain():
        finish(progress, runner, step, state="failed", error="no memory")
    assert "random/6/split_0, train: FAILED, no memory in 0:00:10" in capsys.readouterr().out
    assert read_table(tmp_path / "cases.csv") == []
    (cell,) = read_table(tmp_path / "cells.csv")
    assert (cell["state"], cell["error"], cell["labelled_volumes"]) == ("failed", "no memory", "")


LINE = "Fine-tuning: 90 epochs of 50 steps, about 38 min (0.51 s each)."


def test_a_running_step_tells_once_how_long_it_will_take(study, capsys):
    progress, cells, _ = study
    step = cells[0].last.chain()[0]
    progress.watch(step, "12:00:01 INFO a.b.Trainer: Epoch 1, about to start\n")
    progress.watch(step, f"12:00:01 INFO a.b.Trainer: {LINE}\n")
    progress.watch(step, f"12:00:01 INFO a.b.Trainer: {LINE}\n12:00:09 INFO a.b.Trainer: Saved.\n")
    assert capsys.readouterr().out == f"random/6/split_0, {LINE}\n"


def test_the_line_of_the_bar_is_the_one_that_is_looked_for(study, capsys, caplog):
    engine = Engine(lambda engine, batch: None)
    EpochProgress("Fine-tuning", file=io.StringIO()).attach(engine)
    caplog.handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    with caplog.at_level(logging.INFO):
        engine.run(range(12), max_epochs=90)
    progress, cells, _ = study
    progress.watch(cells[0].last.chain()[0], caplog.text)
    assert "Fine-tuning: 90 epochs of 12 steps, about 1 s (" in capsys.readouterr().out


def test_a_study_begins_with_what_is_left_to_do(study, capsys):
    progress, cells, runner = study
    progress.begin()
    step = cells[0].last.chain()[0]
    runner.records[step.key] = Record(step.key, "done", 100.0)
    progress.begin()
    assert capsys.readouterr().out.splitlines() == ["[0/10] 2 at a time", "[1/10] 2 at a time; about 0:07:30 left"]


def test_a_study_that_is_done_begins_with_nothing(study, capsys):
    progress, cells, runner = study
    for step in (step for cell in cells for step in cell.last.chain()):
        runner.records[step.key] = Record(step.key, "done", 100.0)
    progress.begin()
    assert capsys.readouterr().out == ""
