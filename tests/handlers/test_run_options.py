from __future__ import annotations

import pytest
from monai.bundle import ConfigParser

from semicl_monai.handlers import RunOptions
from semicl_monai.utils import InputError


@pytest.fixture
def split_file(tmp_path):
    path = tmp_path / "split.json"
    path.write_text('{"labelled": ["a"]}')
    return path


def test_a_run_with_the_same_options_and_split_may_be_resumed(split_file):
    state = RunOptions({"seed": 0, "method": "local"}, split_file).state_dict()
    RunOptions({"seed": 0, "method": "local"}, split_file).load_state_dict(state)


def test_another_option_is_named_with_both_values(split_file):
    state = RunOptions({"seed": 0, "method": "local"}, split_file).state_dict()
    with pytest.raises(InputError, match="the run was started with method local, not global"):
        RunOptions({"seed": 0, "method": "global"}, split_file).load_state_dict(state)


def test_another_split_is_refused(split_file):
    state = RunOptions({"seed": 0}, split_file).state_dict()
    split_file.write_text('{"labelled": ["b"]}')
    with pytest.raises(InputError, match="the run was started on another split"):
        RunOptions({"seed": 0}, split_file).load_state_dict(state)


def test_a_file_that_has_moved_is_the_same_and_one_with_other_content_is_not(tmp_path):
    before, after = tmp_path / "before" / "model.pt", tmp_path / "after" / "model.pt"
    before.parent.mkdir()
    before.write_text("weights")
    state = RunOptions({"pretrained": before}).state_dict()
    before.parent.rename(after.parent)
    RunOptions({"pretrained": str(after)}).load_state_dict(state)
    after.write_text("others")
    message = r"the run was started with pretrained model\.pt \(SHA-256 \w{8}\), not model\.pt \(SHA-256 \w{8}\)"
    with pytest.raises(InputError, match=message):
        RunOptions({"pretrained": after}).load_state_dict(state)


def test_it_needs_no_split_file(tmp_path):
    options = RunOptions({"seed": 0}, tmp_path / "missing.json")
    options.load_state_dict(options.state_dict())


def test_it_builds_from_a_config():
    config = {"options": {"_target_": "semicl_monai.handlers.RunOptions", "options": {"seed": 3}}}
    assert ConfigParser(config).get_parsed_content("options").state_dict() == {"seed": "3", "split": ""}
