from __future__ import annotations

import json
import re
import shutil

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.handlers import RunOptions
from semicl_monai.synthetic import make_synthetic_hippocampus
from semicl_monai.utils import InputError

CONFIG = {
    "dataset_dir": "a",
    "seed": 0,
    "learning_rate": 0.001,
    "classifier_learning_rate": "$10 * @learning_rate",
    "roi_size": [64, 64],
    "switch": True,
    "device": "cpu",
    "rate": {"_target_": "builtins.float", "x": "@learning_rate"},
    "network_def": {"_target_": "BasicUNet", "dropout": 0.1, "norm": ["instance", {"affine": True}]},
    "train": {
        "handlers": [
            {"_target_": "StatsHandler", "tag_name": "a"},
            {"_target_": "semicl_monai.handlers.TeacherEMA", "decay": 0.9},
        ],
        "dataset": {"_target_": "Dataset", "data": [{"image": "a.nii"}]},
        "dataloader": {"_target_": "DataLoader", "num_workers": 0},
    },
    "run": ["$print('never')"],
    "run_options": {"_target_": "semicl_monai.handlers.RunOptions"},
}


def options_of(changes=(), **arguments):
    parser = ConfigParser(json.loads(json.dumps(CONFIG)))
    for id, value in dict(changes).items():
        parser[id] = value
    parser["run_options"].update(arguments)
    return parser.get_parsed_content("run_options")


def refused(before, now):
    with pytest.raises(InputError) as raised:
        now.load_state_dict(before.state_dict())
    return str(raised.value)


@pytest.fixture
def split_file(tmp_path):
    path = tmp_path / "split.json"
    path.write_text('{"labelled": ["a"]}')
    return path


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    return make_synthetic_hippocampus(folder, num_cases=3, num_test=1, spatial_size=(16, 16, 16))


def cases_in(folder):
    images = sorted((folder / "imagesTr").glob("*.nii.gz"))
    records = [{"image": str(image), "label": str(folder / "labelsTr" / image.name)} for image in images]
    return {"labelled": records[:1], "unlabelled": [{"image": record["image"]} for record in records[1:]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, "seed 0, not 1"),
        ({"roi_size": [32, 64]}, "roi_size [64, 64], not [32, 64]"),
        ({"network_def::dropout": 0.2}, "network_def::dropout 0.1, not 0.2"),
        ({"network_def::norm": "batch"}, "network_def::norm ['instance', {'affine': True}], not batch"),
        ({"network_def::act": "relu"}, "network_def::act left out, not relu"),
        ({"network_def": torch.nn.ReLU()}, "network_def {...}, not ReLU"),
        ({"rate::x": 0.1}, "rate::x 0.001, not 0.1"),
        ({"classifier_learning_rate": 0.1}, "classifier_learning_rate 0.01, not 0.1"),
        ({"switch": "false"}, "switch True, not false"),
        ({"train::handlers::1::decay": 0.99}, "train::handlers::0::decay 0.9, not 0.99"),
    ],
)
def test_another_entry_of_the_config_is_named_with_both_values(changes, message):
    assert refused(options_of(), options_of(changes)) == f"the run was started with {message}"


def test_an_entry_that_is_left_out_now_is_named():
    assert refused(options_of({"dropped": 3}), options_of()) == "the run was started with dropped 3, not left out"


def test_an_object_from_python_is_known_by_its_type():
    one, same, other = (options_of({"loss": loss}) for loss in (torch.nn.L1Loss(), torch.nn.L1Loss(), torch.nn.ReLU()))
    same.load_state_dict(one.state_dict())
    assert refused(one, other) == "the run was started with loss L1Loss, not ReLU"


@pytest.mark.parametrize(
    "changes",
    [
        {"dataset_dir": "b", "device": torch.device("cpu"), "train::dataloader::num_workers": 2},
        {"train::dataset::data": [{"image": "b.nii"}, {"image": "c.nii"}]},
        {"run": ["$print('nor now')"], "_meta_": {"version": 1}, "run_name": "third"},
        {"switch": "true"},
        {"classifier_learning_rate": 0.01},
        {"learning_rate": "$0.1 / 100"},
        {"roi_size": (64.0, 64)},
        {"train::handlers": [{"_target_": "MLFlowHandler"}, *CONFIG["train"]["handlers"]]},
        {"train::handlers": CONFIG["train"]["handlers"][1:]},
    ],
)
def test_paths_machine_lists_and_other_ways_to_write_the_same_may_differ(changes):
    before = options_of()
    options_of(changes).load_state_dict(before.state_dict())


def test_nothing_of_the_config_is_run_or_built(capsys):
    options_of({"noise": "$print('oh')", "seeded": "$torch.manual_seed(3)", "other": "$@rate"})
    assert "oh" not in capsys.readouterr().out
    assert torch.initial_seed() != 3


def test_given_values_count_in_place_of_what_is_written():
    before = options_of({"amp": "$never"}, values={"amp": True})
    options_of({"amp": "true"}, values={"amp": True}).load_state_dict(before.state_dict())
    message = refused(before, options_of({"amp": "$never"}, values={"amp": False}))
    assert message == "the run was started with amp True, not False"


def test_what_a_run_was_started_with_is_written_as_plain_values(tmp_path):
    options_of(values={"method": "local", "rate": 0.001}).write(tmp_path / "options.json")
    options = json.loads((tmp_path / "options.json").read_text())
    assert options["classifier_learning_rate"] == 0.01
    assert (options["method"], options["rate"], options["roi_size"]) == ("local", 0.001, [64, 64])
    assert not {"network_def", "run", "train", "run_options"} & options.keys()


def test_another_split_is_refused_and_the_same_one_of_another_seed_is_not(split_file):
    before = RunOptions(split_file=split_file).state_dict()
    split_file.write_text('{"split_seed": 2, "labelled": ["a"]}')
    RunOptions(split_file=split_file).load_state_dict(before)
    split_file.write_text('{"labelled": ["b"]}')
    with pytest.raises(InputError, match=r"^the run was started on another split$"):
        RunOptions(split_file=split_file).load_state_dict(before)


def test_a_data_set_may_move_and_may_not_change(dataset_dir, tmp_path):
    before = RunOptions(cases=cases_in(dataset_dir)).state_dict()
    moved = shutil.copytree(dataset_dir, tmp_path / "moved")
    RunOptions(cases=cases_in(moved)).load_state_dict(before)
    first, second = sorted((moved / "imagesTr").glob("*.nii.gz"))[:2]
    shutil.copy(first, second)
    case = second.name.removesuffix(".nii.gz")
    with pytest.raises(InputError, match=f"the run was started with another image of case {case}; the file"):
        RunOptions(cases=cases_in(moved)).load_state_dict(before)


def test_another_label_is_refused(dataset_dir, tmp_path):
    before = RunOptions(cases=cases_in(dataset_dir)).state_dict()
    moved = shutil.copytree(dataset_dir, tmp_path / "moved")
    first, second = sorted((moved / "labelsTr").glob("*.nii.gz"))[:2]
    shutil.copy(second, first)
    with pytest.raises(InputError, match="the run was started with another label of case"):
        RunOptions(cases=cases_in(moved)).load_state_dict(before)


def test_images_under_other_names_are_another_split(dataset_dir):
    cases = cases_in(dataset_dir)
    before = RunOptions(cases=cases).state_dict()
    with pytest.raises(InputError, match="the run was started on another split"):
        RunOptions(cases={"labelled": cases["labelled"]}).load_state_dict(before)


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


def test_a_checkpoint_of_an_earlier_version_is_refused():
    message = "an earlier version of semicl_monai has written it; start anew, without --resume"
    with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
        RunOptions({"seed": 0}).load_state_dict({"seed": "0", "split": ""})
