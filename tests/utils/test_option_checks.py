from __future__ import annotations

import json
import re

import monai.bundle
import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.utils import OPTIONS, InputError, find_input_error, options_of
from semicl_monai.utils.option_checks import check_number_signs, check_value

BY_NAME = {option.name: option for option in OPTIONS}
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        *(("epochs", value, "a whole number from 1") for value in (1.5, True, None, 0, "many", [3])),
        *(("val_interval", value, "a whole number from 1") for value in (0, 2.5)),
        *(("warm_up_epochs", value, "a whole number from 0") for value in (-1, 0.5)),
        *(("learning_rate", value, "a number from 0") for value in (-1e-3, NAN, INFINITY, "fast", True, None)),
        *(("temperature", value, "positive") for value in (0, -1, "warm")),
        *(("pseudo_threshold", value, "a number from 0 to 1") for value in (-0.1, 1.1, NAN, "sure", None)),
        ("teacher_decay", 1, "a number above 0 and below 1"),
        ("position_threshold", 0, "a number above 0 and up to 1"),
        *(("seed", value, "a whole number from 0 to 4294967295") for value in (-1, 2**32, 0.5)),
        *(("resume", value, "true or false") for value in ("yes", 1, None)),
        *(("validation", value, "one of best, none") for value in ("last", 3)),
        *(("device", value, "an available device, such as cpu or cuda:0") for value in ("cuda:77", "xyz", 3.5)),
        *(("mirror_axes", value, "a list of values, each a whole number from 0") for value in ([-1], 0, ["x"])),
        *(("spacing", value, "a list of 3 values, each positive or none") for value in ([1, 2], [1, 2, 0], 1.0)),
        *(("roi_size", value, "a list of values, each a whole number from 1") for value in (64, [64, 0.5])),
        *(("labelled_fraction", value, "a fraction above 0.0 and up to 1.0,") for value in (0, 1.5, -1, True, "few")),
        *(("replace_nan", value, "a finite number or none") for value in (NAN, INFINITY, "0")),
        *(("class_names", value, "a list of names") for value in ("liver", [1, 2])),
    ],
)
def test_a_value_that_an_option_does_not_take_is_refused_with_what_was_wanted_and_what_came(name, value, wanted):
    came = f"'{value}'" if isinstance(value, str) else str(value)
    with pytest.raises(InputError, match=rf"^{name} must be {re.escape(wanted)}.*, got {re.escape(came)}\.$"):
        check_value(BY_NAME[name], value)


@pytest.mark.parametrize("value", [2024, 1000.0, True, None, ["a"]])
@pytest.mark.parametrize(("name", "wanted"), [("output_dir", "folder"), ("dataset_dir", "path"), ("weights", "path")])
def test_a_folder_that_the_command_line_takes_for_something_else_is_refused(name, wanted, value):
    message = (
        f"{name} must be a {wanted} as text (write ./2024 for a folder called 2024), got the {type(value).__name__} "
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        check_value(BY_NAME[name], value)


def test_a_home_folder_that_no_shell_has_expanded_is_refused_where_a_run_would_be_split():
    with pytest.raises(
        InputError, match=r"^output_dir must not begin with '~': write the home folder out, got '~/run'"
    ):
        check_value(BY_NAME["output_dir"], "~/run")
    check_value(BY_NAME["dataset_dir"], "~/data")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("epochs", 1),
            ("learning_rate", 1e-9),
            ("learning_rate", 1),
            ("labelled_fraction", 1),
            ("labelled_fraction", 1.0),
        ),
        *(("resume", "True"), ("resume", False), ("validation", None), ("validation", "BEST"), ("split_file", None)),
        *(("device", "cpu"), ("device", torch.device("cpu")), ("mirror_axes", []), ("mirror_axes", (0, 2))),
        *(("spacing", None), ("spacing", [1, 1.5, 2]), ("cache_dir", None), ("slice_axis", 2), ("replace_nan", 0)),
    ],
)
def test_a_value_that_an_option_takes_passes(name, value):
    check_value(BY_NAME[name], value)


@pytest.mark.parametrize("values", [{"output_dir": "run#1"}, {"class_names": ["a", "b#c"]}, {"dataset_dir": "a::b"}])
def test_what_monai_would_split_into_names_is_refused(values):
    ((name, _),) = values.items()
    with pytest.raises(InputError, match=f"^{name} must not hold '#' or '::', which separate names in MONAI's configs"):
        check_number_signs(values)


def test_every_stage_has_options_and_every_option_a_stage():
    assert all(option.stages and option.meaning.endswith(".") for option in OPTIONS)
    assert len({option.name for option in OPTIONS}) == len(OPTIONS)
    assert {"dataset_dir", "output_dir", "device"} < {option.name for option in options_of("inference")}


@pytest.fixture
def file(tmp_path):
    """A config with the checks of the stage train, and a run list that tells it was run."""
    config = {
        "imports": ["$import pathlib"],
        **{"epochs": 3, "output_dir": str(tmp_path), "learning_rate": "$0.1 / 100", "network_def": NETWORK},
        **{"class_names": ["a", "b"], "slice_axis": 2, "loss": {"_target_": "monai.losses.DiceLoss", "sigmoid": True}},
        "optimizer": {"params": "$@method_def.parameter_groups(@model)", "lr": 0.1},
        "initialize": [
            {"_target_": "semicl_monai.utils.check_options", "stage": "train"},
            {"_target_": "semicl_monai.utils.check_network"},
        ],
        "run": ["$pathlib.Path(@output_dir, 'ran').touch()"],
    }
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/train.json").write_text(json.dumps(config))
    return tmp_path / "configs/train.json"


NETWORK = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochss": 20}, "unknown option --epochss, did you mean --epochs?"),
        ({"epochs": 0}, "epochs must be a whole number from 1, got 0."),
        ({"epochs": 1.5}, "epochs must be a whole number from 1, got 1.5."),
        ({"epochs": "$3 / 2"}, "epochs must be a whole number from 1, got 1.5."),
        (
            {"output_dir": "run#1"},
            "output_dir must not hold '#' or '::', which separate names in MONAI's configs, ",
        ),
        ({"network_def::features": 3}, "network_def: torch.nn.Linear cannot be built: TypeError: "),
        ({"epochs": "$1.5"}, "epochs must be a whole number from 1, got 1.5."),
        ({"output_dir": "$HOME"}, "output_dir '$HOME' begins with '$' and cannot be computed"),
        ({"output_dir": ""}, "output_dir must be a folder as text"),
        *(
            ({"class_names": names}, "class_names must be a list of names that differ, none of them empty")
            for names in (["", "b"], ["a", "a"], ["a", "mean"])
        ),
        ({"class_names": ["$'mean'", "b"]}, "class_names must be a list of names that differ, "),
        ({"class_names": ["$import os", "b"]}, "class_names must be a list of names that differ, "),
        ({"slice_axis": "1"}, "slice_axis must be one of 0, 1, 2, got '1'."),
        ({"loss::smoth": 1}, "loss: monai.losses.DiceLoss has no argument 'smoth', did you mean smooth"),
        ({"loss::_target_": "torch.nn.MSELoss"}, "loss: torch.nn.MSELoss has no argument 'sigmoid'"),
        ({"loss::_target_": "NoLoss"}, "loss: there is no component NoLoss"),
        ({"optimizer::lr": 1}, "optimizer::lr has no effect, "),
        *(
            ({"run_id": name}, f"the config has no steps '{name}' to run")
            for name in ("epochs", "initialize", "losss", "runs/a")
        ),
    ],
)
def test_a_run_from_python_is_checked_like_one_from_a_command_line(file, tmp_path, options, message):
    with pytest.raises(RuntimeError) as caught:
        monai.bundle.run(config_file=str(file), **options)
    assert str(find_input_error(caught.value)).startswith(message)
    assert not (tmp_path / "ran").exists()
    monai.bundle.run(config_file=str(file), epochs=4)
    assert (tmp_path / "ran").exists()


class Pair(torch.nn.Conv2d):
    """Answers a loss beside its map, as a network with a variational decoder does."""

    def forward(self, image):
        return super().forward(image), None


class Pooled(torch.nn.Conv2d):
    """Answers classes of whole images."""

    def forward(self, image):
        return super().forward(image).mean((-1, -2))


PAIR, POOLED = (f"{kind.__module__}.{kind.__name__}" for kind in (Pair, Pooled))
PADDED = {"padding": 2, "padding_mode": "reflect"}  # which images of two voxels are too small for
CONV = {"_target_": "torch.nn.Conv2d", "in_channels": 1, "out_channels": 3, "kernel_size": 5, **PADDED}


@pytest.mark.parametrize(
    ("network", "sizes", "message"),
    [
        (CONV, {"roi_size": [4, 4], "patch_size": None}, None),
        (CONV, {"roi_size": [1, 4]}, r"does not take images of roi_size \[1, 4\] and in_channels 1: RuntimeError: "),
        (CONV, {"roi_size": [4, 4], "patch_size": [1, 1]}, r"does not take images of patch_size \[1, 1\] and in_ch"),
        (CONV, {"roi_size": [4, 4, 4]}, r"does not take images of roi_size \[4, 4, 4\]"),
        ({**CONV, "in_channels": 2}, {"roi_size": [4, 4]}, r"of roi_size \[4, 4\] and in_channels 1: RuntimeError: "),
        ({**CONV, "out_channels": 5}, {"roi_size": [4, 4]}, "returns 5 classes: wanted 3, background and class_names"),
        (
            {**CONV, "padding": 1},
            {"roi_size": [4, 4]},
            r"returns \[2, 3, 2, 2\]: wanted one map of roi_size \[4, 4\] for",
        ),
        ({**CONV, "_target_": PAIR}, {"roi_size": [4, 4]}, "returns a tuple: wanted one map of roi_size"),
        ({**CONV, "_target_": POOLED}, {"roi_size": [4, 4]}, r"returns \[2, 3\]: wanted one map of roi_size"),
    ],
)
def test_a_network_that_does_not_take_the_images_is_told_before_any_work(network, sizes, message):
    check = {"_target_": "semicl_monai.utils.check_network", **sizes}
    parser = ConfigParser({"in_channels": 1, "num_classes": 3, "network_def": network, "check": check})
    before = torch.get_rng_state()
    if message is None:
        parser.get_parsed_content("check")
    else:
        with pytest.raises(RuntimeError) as caught:
            parser.get_parsed_content("check")
        told = str(find_input_error(caught.value))
        assert re.match(rf"network_def: {re.escape(network['_target_'])} .*{message}", told)
        assert "\n" not in told
    assert torch.equal(torch.get_rng_state(), before)


def test_no_network_is_told():
    config = {"network_def": None, "check": {"_target_": "semicl_monai.utils.check_network"}}
    with pytest.raises(RuntimeError) as caught:
        ConfigParser(config).get_parsed_content("check")
    assert str(find_input_error(caught.value)) == "network_def must be a network, got none."


def test_a_network_that_has_to_compute_to_know_is_believed(monkeypatch):
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda _, images: images[:, [0] * int(3 + images.sum().item())])
    check = {"_target_": "semicl_monai.utils.check_network", "roi_size": [2, 2]}
    ConfigParser({"in_channels": 1, "num_classes": 3, "network_def": CONV, "check": check}).get_parsed_content("check")


def test_help_prints_the_options_of_the_stage_with_their_defaults_and_runs_nothing(file, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        monai.bundle.run(config_file=str(file), help=True)
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "Options of train:" in printed
    assert re.search(r"--epochs +Epochs of each stage\.\n +A whole number from 1\. Default: 3\.", printed)
    assert not (tmp_path / "ran").exists()


def test_outputs_of_a_bundle_that_python_runs_fall_into_its_own_folder(tmp_path):
    (tmp_path / "own/configs").mkdir(parents=True)
    config = {
        "bundle_root": {"_target_": "semicl_monai.utils.find_bundle_root"},
        "run": [{"_target_": "semicl_monai.utils.save_json", "content": {}, "path": "$@bundle_root + '/ran'"}],
    }
    (tmp_path / "own/configs/train.json").write_text(json.dumps(config))
    monai.bundle.run(config_file=str(tmp_path / "own/configs/train.json"))
    assert (tmp_path / "own/ran").exists()
    assert ConfigParser(config).get_parsed_content("bundle_root") == "."


def test_missing_pre_trained_weights_are_an_error_for_python_too_and_not_a_start_from_scratch(tmp_path):
    (tmp_path / "configs").mkdir()
    config = {
        "weights": {"_target_": "semicl_monai.networks.find_pretrained", "folder": str(tmp_path)},
        "run": [
            {"_target_": "semicl_monai.utils.save_json", "content": "@weights", "path": str(tmp_path / "found.json")}
        ],
    }
    file = tmp_path / "configs/train.json"
    file.write_text(json.dumps(config))
    monai.bundle.run(config_file=str(file))
    assert json.loads((tmp_path / "found.json").read_text()) == str(tmp_path / "model_pretrained.pt")
    monai.bundle.run(config_file=str(file), bundle_root=str(tmp_path))  # as MONAI Label does
    assert json.loads((tmp_path / "found.json").read_text()) == "none"
