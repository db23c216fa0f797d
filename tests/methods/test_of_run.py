from __future__ import annotations

import json

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.methods import METHODS, fine_tuning_of, method_of_run
from semicl_monai.utils import InputError, Provenance, save_tensors, with_provenance

FINE_TUNINGS = (
    "mixup",
    "mean_teacher",
    "tcsm",
    "self_training",
    "cross_teaching",
    "local_pseudo",
    "local_self_training",
)


def write_weights(path, method):
    save_tensors(with_provenance({"weight": torch.ones(1)}, Provenance(method=method)), path)


@pytest.mark.parametrize("method", METHODS.names)
def test_all_methods_are_fine_tuned_alike_but_those_that_are_a_fine_tuning(method):
    assert fine_tuning_of(method) == (method if method in FINE_TUNINGS else "random")


class Volumes:
    def __init__(self, found):
        self.found = found

    def has_unlabelled(self):
        return self.found


class Unlabelled(Volumes):
    def __init__(self):
        super().__init__(True)


@pytest.mark.parametrize(
    ("found", "asked_for", "wanted"),
    [(True, None, "tcsm"), (False, None, "random"), (False, "tcsm", "tcsm")],
)
def test_the_method_of_the_weights_gives_way_where_there_is_no_unlabelled_volume(found, asked_for, wanted):
    assert fine_tuning_of("tcsm", Volumes(found), asked_for) == wanted
    assert fine_tuning_of("mixup", Volumes(found), asked_for) == "mixup"


@pytest.mark.parametrize(
    ("data", "wanted"), [("$@datalist", "tcsm"), ([{"image": "a.nii", "label": "b.nii"}], "random"), ([], "random")]
)
def test_with_the_volumes_of_a_client_the_unlabelled_ones_of_the_data_list_are_not_used(data, wanted):
    """MONAI Label writes the records of its studies into the config."""
    config = {
        "datalist": {"_target_": f"{Unlabelled.__module__}.Unlabelled"},
        "fine_tuning": {"_target_": "semicl_monai.methods.fine_tuning_of", "method": "tcsm", "datalist": "@datalist"},
        "train": {"dataset": {"_target_": "monai.data.Dataset", "data": data}},
    }
    assert ConfigParser(config).get_parsed_content("fine_tuning") == wanted
    config["fine_tuning"]["asked_for"] = "tcsm"
    assert ConfigParser(config).get_parsed_content("fine_tuning") == "tcsm"


def test_it_comes_from_a_config():
    config = {"value": {"_target_": "semicl_monai.methods.fine_tuning_of", "method": "tcsm"}}
    assert ConfigParser(config).get_parsed_content("value") == "tcsm"


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
    with pytest.raises(InputError, match=f"method {asked} needs its own pre-trained weights, got .* of method "):
        method_of_run(asked, weights)


def test_the_record_for_people_that_lies_beside_weights_is_not_believed(tmp_path):
    (tmp_path / "weights.json").write_text(json.dumps(Provenance(method="pcl").to_dict()))
    save_tensors({"weight": torch.ones(1)}, tmp_path / "weights.pt")
    assert method_of_run(None, tmp_path / "weights.pt") == "random"


def test_weights_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "weights.pt").write_text("no checkpoint")
    with pytest.raises(InputError, match=r"^cannot load weights from .*weights\.pt: it is damaged or no checkpoint"):
        method_of_run(None, tmp_path / "weights.pt")
