from __future__ import annotations

import json
import sys

import pytest
from monai.bundle import ConfigParser

from semicl_monai.utils import InputError, check_overrides, find_bundle_root, runner_arguments, started_by_user

RUNNER = "/lib/python3/site-packages/monai/bundle/__main__.py"


@pytest.fixture
def bundle(tmp_path):
    """A bundle of two config files."""
    (tmp_path / "configs").mkdir()
    train = {
        "epochs": 1,
        "network_def": {"_target_": "UNet", "features": [4]},
        "train": {"trainer": {"max_epochs": "@epochs"}},
    }
    (tmp_path / "configs" / "train.json").write_text(json.dumps(train))
    (tmp_path / "configs" / "more.json").write_text(json.dumps({"amp": False, "labelled_fraction": 1}))
    return tmp_path


@pytest.fixture
def call(bundle, monkeypatch):
    """A function that sets the command line to a run of both files with further tokens."""

    def set_arguments(*tokens):
        files = [str(bundle / "configs" / name) for name in ("train.json", "more.json")]
        monkeypatch.setattr(sys, "argv", [RUNNER, "run", "--config_file", str(files), *tokens])

    return set_arguments


def test_both_spellings_of_an_option_are_read():
    argv = [RUNNER, "run", "pretrain", "--config_file", "['a.json','b.json']", "--epochs=3", "--amp", "true"]
    assert runner_arguments(argv) == {"config_file": "['a.json','b.json']", "epochs": "3", "amp": "true"}


def test_an_empty_value_does_not_take_the_next_option_for_it():
    assert runner_arguments([RUNNER, "run", "--dataset_dir=", "--epochs", "3"]) == {"dataset_dir": "", "epochs": "3"}


def test_a_hyphen_counts_as_an_underscore_as_in_the_runner():
    assert runner_arguments([RUNNER, "run", "--config-file", "a-b.json"]) == {"config_file": "a-b.json"}


def test_a_single_hyphen_is_an_option_as_in_the_runner_and_a_negative_number_is_none():
    assert runner_arguments([RUNNER, "run", "-epochz", "3", "-h", "--seed", "-1"]) == {
        "epochz": "3",
        "h": "--seed",
        "seed": "-1",
    }


def test_an_args_file_may_hold_options_of_the_network(tmp_path):
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"network_def::features": [4]}))
    assert runner_arguments([RUNNER, "run", "--args_file", str(file)])["network_def::features"] == [4]


def test_an_args_file_is_read_and_the_command_line_goes_over_it(tmp_path):
    file = tmp_path / "args.json"
    file.write_text(json.dumps({"config_file": ["a.json"], "epochs": 2}))
    arguments = runner_arguments([RUNNER, "run", "--args_file", str(file), "--epochs", "3"])
    assert arguments == {"args_file": str(file), "config_file": ["a.json"], "epochs": "3"}


@pytest.mark.parametrize(
    "argv",
    [
        ["/bin/pytest", "run", "--epochs", "3"],
        ["/lib/monai/apps/__main__.py", "run", "--epochs", "3"],
        [RUNNER, "verify_metadata", "--epochs", "3"],
        [RUNNER],
        [""],
    ],
)
def test_other_programs_have_no_runner_arguments(argv, monkeypatch):
    assert runner_arguments(argv) == {}
    monkeypatch.setattr(sys, "argv", argv)
    assert find_bundle_root() == "."
    check_overrides()


@pytest.mark.parametrize(
    "files",
    ["configs/train.json", "['configs/train.json','configs/more.json']", "configs/train.json,configs/more.json"],
)
def test_the_bundle_is_the_folder_above_configs_wherever_one_stands(bundle, monkeypatch, files):
    monkeypatch.chdir(bundle)
    monkeypatch.setattr(sys, "argv", [RUNNER, "run", "--config_file", files])
    assert find_bundle_root() == str(bundle)


def test_the_bundle_is_found_through_an_args_file(bundle, monkeypatch):
    (bundle / "args.json").write_text(json.dumps({"config_file": str(bundle / "configs" / "train.json")}))
    monkeypatch.setattr(sys, "argv", [RUNNER, "run", "--args_file", str(bundle / "args.json")])
    assert find_bundle_root() == str(bundle)


def test_a_config_finds_its_bundle(bundle, call):
    call()
    config = {"bundle_root": {"_target_": "semicl_monai.utils.find_bundle_root"}}
    assert ConfigParser(config).get_parsed_content("bundle_root") == str(bundle)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["--epochss", "3"], r"^unknown option --epochss, did you mean --epochs\? No config file has"),
        (["--epochss=3"], r"^unknown option --epochss, did you mean --epochs\?"),
        (["--labeled_fraction", "1"], r"did you mean --labelled_fraction\?"),
        (["--trian::x", "1"], r"^unknown option --trian, did you mean --train\?"),
        (["--zzz", "1"], r"^unknown option --zzz\? No config file has"),
        (["--train::x", "1"], r"^unknown option --train::x\? No config file has"),
        (["--train::trianer::max_epochs", "1"], r"^unknown option --train::trianer, did you mean --train::trainer\?"),
        (["--train::trainer::max_epoch", "1"], r"did you mean --train::trainer::max_epochs\?"),
    ],
)
def test_an_option_that_no_file_has_is_refused_with_what_was_probably_meant(call, tokens, message):
    call("--epochs", "2", *tokens)
    with pytest.raises(InputError, match=message):
        check_overrides()


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        ["--epochs", "3", "--amp=true", "--labelled_fraction", "0.5"],
        ["--network_def::norm", "batch", "--train#trainer#max_epochs", "2"],
        ["--network_def::features", "[4,8]"],
        ["--logging_file", "none", "--run_id", "run"],
    ],
)
def test_options_of_the_files_and_of_the_runner_are_accepted(call, tokens):
    call(*tokens)
    check_overrides()


def test_an_entry_of_a_further_file_that_nobody_reads_is_refused_where_it_is_almost_one_that_is_read(bundle, call):
    more = bundle / "configs" / "more.json"
    more.write_text(json.dumps({"epochss": 3}))
    call()
    with pytest.raises(InputError, match=r"more\.json: unknown entry epochss, did you mean epochs\?$"):
        check_overrides()
    more.write_text(json.dumps({"epochss": 3, "epochs": "@epochss"}))
    check_overrides()


def test_an_unknown_option_of_an_args_file_is_refused_too(bundle, monkeypatch):
    content = {"config_file": str(bundle / "configs" / "train.json"), "epohcs": 3}
    (bundle / "args.json").write_text(json.dumps(content))
    monkeypatch.setattr(sys, "argv", [RUNNER, "run", "--args_file", str(bundle / "args.json")])
    with pytest.raises(InputError, match="did you mean --epochs"):
        check_overrides()


def test_what_the_runner_adds_for_its_tracking_may_be_set_with_it_only(call):
    call("--tracking", "mlflow", "--experiment_name", "mine")
    check_overrides()
    call("--experiment_name", "mine")
    with pytest.raises(InputError, match="unknown option --experiment_name"):
        check_overrides()


@pytest.mark.parametrize(("file", "user"), [("train.json", True), ("monailabel_train.json", False)])
def test_a_user_types_the_runner_and_monai_label_calls_it_with_a_file_of_its_own(monkeypatch, file, user):
    monkeypatch.setattr(
        "sys.argv", ["monai/bundle/__main__.py", "run", "--config_file", f"['configs/{file}','b.json']"]
    )
    assert started_by_user() is user


def test_another_program_is_no_user_of_the_runner(monkeypatch):
    monkeypatch.setattr("sys.argv", ["monailabel/main.py"])
    assert not started_by_user()
