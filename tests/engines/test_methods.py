from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

import semicl_monai
from semicl_monai.engines import METHODS, fine_tuning, method_of_run, objectives
from semicl_monai.utils import InputError, Provenance, save_tensors, with_provenance

CONFIGS = Path(semicl_monai.__file__).parent / "configs"
OBJECTIVES = {
    "random": [],
    "rotation": ["rotation"],
    "pirl": ["jigsaw"],
    "simclr": ["global"],
    "global": ["global"],
    "chaitanya_global": ["partition"],
    "chaitanya_global_local": ["partition", "region"],
    "pcl": ["position"],
    "local": ["local"],
    "global_local": ["global", "local"],
    "mixup": [],
    "mean_teacher": [],
    "tcsm": [],
    "self_training": [],
    "local_pseudo": [],
    "joint": ["joint"],
}
FINE_TUNINGS = ("mixup", "mean_teacher", "tcsm", "self_training", "local_pseudo")


def write_weights(path, method):
    save_tensors(with_provenance({"weight": torch.ones(1)}, Provenance(method=method)), path)


def test_these_methods_are_known():
    assert sorted(METHODS.names) == sorted(OBJECTIVES)


@pytest.mark.parametrize(("method", "stages"), OBJECTIVES.items())
def test_a_method_trains_for_its_objectives_in_order(method, stages):
    assert objectives(method) == stages


@pytest.mark.parametrize("method", OBJECTIVES)
def test_all_methods_are_fine_tuned_alike_but_those_that_are_a_fine_tuning(method):
    assert fine_tuning(method) == (method if method in FINE_TUNINGS else "supervised")


def test_there_are_parts_for_every_objective_and_every_fine_tuning_and_no_others():
    parts, train = (json.loads((CONFIGS / f"{name}.json").read_text()) for name in ("objectives", "train"))
    assert set(parts) == {objective for stages in OBJECTIVES.values() for objective in stages}
    wanted = {fine_tuning(method) for method in OBJECTIVES}
    assert set(train["losses"]) == set(train["prepare_batches"]) == wanted


@pytest.mark.parametrize(
    ("method", "made_by", "left"),
    [
        ("global_local", "simclr", ["local"]),
        ("chaitanya_global_local", "chaitanya_global", ["region"]),
        ("global_local", "global_local", []),
        ("global_local", "random", ["global", "local"]),
        ("local", None, ["local"]),
    ],
)
def test_pretraining_goes_on_from_what_the_weights_were_pretrained_for(tmp_path, method, made_by, left):
    if made_by:
        write_weights(tmp_path / "weights.pt", made_by)
    assert objectives(method, tmp_path / "weights.pt") == left


@pytest.mark.parametrize("made_by", ["local", "rotation", "global_local"])
def test_pretraining_does_not_go_on_from_another_method(tmp_path, made_by):
    write_weights(tmp_path / "weights.pt", made_by)
    with pytest.raises(InputError, match=rf"method simclr does not go on from .*\.pt, which method {made_by} has"):
        objectives("simclr", tmp_path / "weights.pt")


def test_a_list_of_objectives_belongs_to_the_caller():
    objectives("local").append("global")
    assert objectives("local") == ["local"]


@pytest.mark.parametrize("function", [objectives, fine_tuning])
def test_an_unknown_method_is_refused_with_what_was_probably_meant_and_all_that_are_known(function):
    with pytest.raises(InputError, match="unknown method 'global_locl', did you mean 'global_local'") as refusal:
        function("global_locl")
    assert set(str(refusal.value).split("known: ")[1].rstrip(".").split(", ")) == set(OBJECTIVES)


@pytest.mark.parametrize(("function", "wanted"), [("objectives", []), ("fine_tuning", "tcsm")])
def test_they_come_from_a_config(function, wanted):
    config = {"value": {"_target_": f"semicl_monai.engines.{function}", "method": "tcsm"}}
    assert ConfigParser(config).get_parsed_content("value") == wanted


@pytest.mark.parametrize(
    ("asked", "made_by", "wanted"),
    [
        (None, "pcl", "pcl"),
        (None, "mean_teacher", "mean_teacher"),
        (None, None, "random"),
        ("tcsm", "pcl", "tcsm"),
        ("simclr", "global", "simclr"),
        ("pcl", None, "pcl"),
        ("random", "pcl", "random"),
    ],
)
def test_a_run_belongs_to_the_method_asked_for_or_to_that_of_its_weights(tmp_path, asked, made_by, wanted):
    if made_by is not None:
        write_weights(tmp_path / "weights.pt", made_by)
    assert method_of_run(asked, tmp_path / "weights.pt") == wanted


def test_a_run_from_scratch_is_random_or_semi_supervised():
    assert method_of_run(None, "none") == "random"
    assert method_of_run("mean_teacher", None) == "mean_teacher"


@pytest.mark.parametrize(("asked", "made_by"), [("pcl", "rotation"), ("local", "mean_teacher"), ("local", "none")])
def test_a_method_whose_pretraining_the_weights_have_not_had_is_refused(tmp_path, asked, made_by):
    write_weights(tmp_path / "weights.pt", made_by)
    weights = "none" if made_by == "none" else tmp_path / "weights.pt"
    with pytest.raises(InputError, match=f"method {asked} wants weights it has pre-trained, got .* of method "):
        method_of_run(asked, weights)


def test_the_record_for_people_that_lies_beside_weights_is_not_believed(tmp_path):
    (tmp_path / "weights.json").write_text(json.dumps(Provenance(method="pcl").to_dict()))
    save_tensors({"weight": torch.ones(1)}, tmp_path / "weights.pt")
    assert method_of_run(None, tmp_path / "weights.pt") == "random"


def test_weights_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "weights.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"^cannot load weights from .*weights\.pt: it is damaged or no checkpoint"):
        method_of_run(None, tmp_path / "weights.pt")
