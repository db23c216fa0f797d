from __future__ import annotations

import json
from pathlib import Path

import pytest

from semicl_monai.utils import InputError, check_writable, is_true, one_of, save_json


@pytest.mark.parametrize(
    ("value", "meaning"),
    [(True, True), ("true", True), ("True", True), (False, False), ("false", False), ("FALSE", False)],
)
def test_a_switch_is_a_bool_or_its_name(value, meaning):
    assert is_true(value) is meaning


@pytest.mark.parametrize("value", ["maybe", "", 1, 0, None, "yes"])
def test_anything_else_is_refused_with_the_option_and_the_value(value):
    with pytest.raises(InputError, match=rf"^resume must be true or false, got '{value}'\.$"):
        is_true(value, "resume")


def test_json_is_written_into_a_new_folder(tmp_path):
    save_json({"epochs": 3, "folder": Path("a")}, tmp_path / "new" / "folder" / "options.json")
    text = (tmp_path / "new" / "folder" / "options.json").read_text()
    assert json.loads(text) == {"epochs": 3, "folder": "a"}
    assert text.endswith("}\n")


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"^cannot write .*options\.json: .*; give a writable --output_dir\.$"):
        save_json({}, tmp_path / "file" / "options.json")


def test_an_option_with_known_values_takes_no_other():
    assert one_of("Best", ["best", "none"], "validation") == "best"
    with pytest.raises(InputError, match="validation must be one of best, none, got 'nnone'"):
        one_of("nnone", ["best", "none"], "validation")


def test_folders_are_made_and_left_empty(tmp_path):
    check_writable([tmp_path / "a" / "b", tmp_path / "c"])
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert (tmp_path / "c").is_dir()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot write to .*file/run.*give a writable --output_dir"):
        check_writable([tmp_path / "file" / "run"])
