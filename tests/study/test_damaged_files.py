"""What a study reads, damaged: each gives one line that names the file and, where it can, what to do."""

from __future__ import annotations

import json

import pytest

from semicl_monai.apps.demo import comparison
from semicl_monai.study import (
    STAGES,
    Progress,
    Step,
    check_same_study,
    check_unknown_options,
    make_cells,
    read_entries,
    read_summary,
    read_variants,
)
from semicl_monai.utils import InputError

COMMON = {"pretrain": {}, "train": {}, "evaluate": {}}
# of any JSON file: what is in it, and what is said of it
ANY_JSON = {
    "empty": (b"", "must be a JSON file, got: Expecting value"),
    "truncated": (b'{"key": "a", "sta', "must be a JSON file, got: Unterminated string"),
    "latin-1": (b'{"key": "\xfc"}', "must be a JSON file, got: 'utf-8' codec can't decode"),
    "list": (b"[1]", "must hold a JSON object, got a list"),
    "number": (b"3", "must hold a JSON object, got a int"),
}


def damages(**own):
    """Parametrize over what any JSON file may be and what this one may."""
    table = {**ANY_JSON, **{name: (json.dumps(content).encode(), reason) for name, (content, reason) in own.items()}}
    return pytest.mark.parametrize(("content", "reason"), table.values(), ids=table)


def refused(file, content, reason, call, what):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{what} {file} [^\n]*{reason}[^\n]*\.$"):
        call()


NO_RECORD = "was not written by a study.*; delete it to run its step again"


@damages(
    keys=(
        {"key": "a", "state": "done", "sate": 1},
        "unexpected keyword argument 'sate'; delete it to run its step",
    ),
    missing=({"key": "a"}, NO_RECORD),
    state=({"key": "a", "state": 3}, NO_RECORD),
    seconds=({"key": "a", "state": "done", "seconds": "long"}, NO_RECORD),
)
def test_the_record_of_a_step(runner, tmp_path, content, reason):
    refused(tmp_path / "a/steps/train.json", content, reason, runner, "record")


@pytest.mark.parametrize("content", [value for value, _ in ANY_JSON.values()], ids=ANY_JSON)
def test_a_record_that_is_deleted_as_told_lets_the_study_go_on(runner, tmp_path, content):
    file = tmp_path / "a/steps/train.json"
    refused(file, content, "; delete it to run its step again", runner, "record")
    file.unlink()
    told = []
    runner().run([Step("train", "a", {})], lambda step, record: told.append(record.state))
    assert told == ["done"]


def test_a_record_with_a_byte_order_mark_is_read(runner, tmp_path):
    first = runner()
    first.run([Step("train", "a", {})], lambda *_: None)
    file = tmp_path / "a/steps/train.json"
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert runner().records == first.records


@damages(
    missing=({}, "was not written by a study: give another output_dir, or restore that file"),
    options=({"bundle": "b", "options": [1]}, "was not written by a study"),
    stage=({"bundle": "b", "options": {"train": 3}}, "was not written by a study"),
    methods=({"bundle": "b", "methods": "random"}, "was not written by a study"),
    digests=({"bundle": "b", "sha256": 1}, "was not written by a study"),
)
def test_what_a_study_was_made_with(tmp_path, content, reason):
    configs = tmp_path / "bundle/configs"
    configs.mkdir(parents=True)
    for stage in STAGES:
        (configs / f"{stage}.json").write_text("{}")
    refused(
        tmp_path / "study/study.json",
        content,
        reason,
        lambda: check_same_study(tmp_path / "study", configs, COMMON, []),
        "study",
    )


@damages()
def test_a_config_of_the_bundle(tmp_path, content, reason):
    for stage in STAGES:
        (tmp_path / f"{stage}.json").write_text("{}")
    cells = make_cells(read_variants(["random"])[0], [6], [0], COMMON)
    refused(tmp_path / "train.json", content, reason, lambda: check_unknown_options(cells, tmp_path), "config")


@damages()
def test_settings(tmp_path, content, reason):
    file = tmp_path / "settings.json"
    refused(file, content, reason, lambda: read_variants(["random"], file), "settings")


NO_SUMMARY = "is not what an evaluation writes: run evaluate again"


@damages(
    missing=({}, NO_SUMMARY),
    classes=({"classes": ["mean"]}, NO_SUMMARY),
    metric=({"classes": {"mean": {"dice": {"mean": 0.5}}}}, NO_SUMMARY),
    text=(
        {"classes": {"mean": {metric: {"mean": "high"} for metric in ("dice", "hd95", "asd")}}},
        "must hold a number as each mean, got 'high': run evaluate again",
    ),
)
def test_a_summary(tmp_path, content, reason):
    refused(tmp_path / "eval/evaluate/summary.json", content, reason, lambda: comparison({"a": tmp_path}), "summary")


def test_a_summary_without_any_value_is_read(tmp_path):
    means = {metric: {"mean": float("nan")} for metric in ("dice", "hd95", "asd")}
    (tmp_path / "summary.json").write_text(json.dumps({"num_cases": 1, "classes": {"a": means, "mean": means}}))
    assert read_summary(tmp_path)["num_cases"] == 1


@damages(
    missing=({"test": []}, "must have a list 'labelled', got None"),
    text=({"labelled": "abc"}, "must have a list 'labelled', got 'abc'"),
)
def test_the_split_of_a_cell(runner, tmp_path, content, reason):
    short, cells = runner(), make_cells(read_variants(["random"])[0], [6], [0], COMMON)
    steps = cells[0].last.chain()
    short.run(steps, lambda *_: None)
    folder = short.place(steps[-1]) / "eval/evaluate"
    folder.mkdir(parents=True)
    trained = short.place(steps[-2]) / "eval/train"
    trained.mkdir(parents=True)
    means = {metric: {"mean": 0.5} for metric in ("dice", "hd95", "asd")}
    (folder / "summary.json").write_text(json.dumps({"classes": {"mean": means}}))
    (folder / "cases.csv").write_text("case,class,dice,hd95,asd\n")
    tell = Progress(tmp_path, cells, short)
    call = lambda: tell(steps[-1], short.records[steps[-1].key])  # noqa: E731
    refused(trained / "split.json", content, reason, call, "split")


TABLE = {
    "empty": (b"", " must be a CSV file with a line of columns, got an empty file"),
    "binary": (bytes(range(256)), " must be a CSV file in UTF-8, got "),
    "other": (b"a,b\n1,2\n", " must have the columns method, labelled_fraction, .*, got a, b"),
    "short": ("HEAD\nrandom,6\n", r", row 2: wanted a value for each column, got \['random', '6', None"),
    "long": ("HEAD\nrandom" + 20 * ",6" + "\n", ", row 2: wanted a value for each column"),
    "number": (
        "HEAD\nrandom,6,0,much,much,much,much,much\n",
        ", row 2: [a-z_0-9]+ must be a number [a-z0-9 ]+, got 'much'",
    ),
    "cut": ("HEAD\nrandom,6,0,0,done,0,0,0", " is cut off: its last line does not end, 'random,6,0"),
    "quote": ('HEAD\n"random,6,0,0,done,0,0,0\n', " must be a CSV file in UTF-8, got unexpected end of data"),
}


@pytest.mark.parametrize(("content", "reason"), TABLE.values(), ids=TABLE)
@pytest.mark.parametrize("name", ["cases", "cells"])
def test_a_table(tables, name, content, reason):
    file = tables({("random", 6): {0: [[0.4, 0.6]]}}) / f"{name}.csv"
    head = file.read_text().splitlines()[0]
    columns = head.count(",") + 1
    if isinstance(content, str):
        first, *rows = content.replace("HEAD", head).split("\n")
        # as many columns as this table has
        rows = [row + "," * (columns - 8) if row.count(",") == 7 else row for row in rows]
        content = "\n".join([first, *rows]).encode()
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"^{file}{reason}[^\n]*\.$"):
        read_entries(file.parent)


def test_a_table_with_a_byte_order_mark_is_read(tables):
    folder = tables({("Größe", 6): {0: [[0.4, 0.6]]}})
    wanted = read_entries(folder)
    for name in ("cases", "cells"):
        file = folder / f"{name}.csv"
        file.write_text(file.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert read_entries(folder) == wanted
    assert wanted[0].method == "Größe"


def test_a_column_of_the_users_own_is_not_thrown_away(study_with_a_column, runner, tmp_path):
    cells = make_cells(read_variants(["random"])[0], [6], [0], COMMON)
    with pytest.raises(InputError, match=r"cells\.csv has a column note, which a study does not write: take it out\.$"):
        Progress(tmp_path, cells, runner())(cells[0].last, study_with_a_column)


@pytest.fixture
def study_with_a_column(tables):
    """A failed step, and a table with one more column."""
    file = tables({("local", 6): {0: [[0.4, 0.6]]}}) / "cells.csv"
    head, *rows = file.read_text().splitlines()
    file.write_text("\n".join([f"{head},note", *(f"{row},mine" for row in rows), ""]))
    record = type("Failed", (), {"state": "failed", "seconds": None, "error": "no memory"})
    return record()
