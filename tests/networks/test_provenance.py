from __future__ import annotations

import json
import logging
import shutil
from collections import OrderedDict

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.networks import MeanTeacher, made_by, read_provenance, require_provenance
from semicl_monai.utils import InputError, Provenance, save_json, save_tensors, state_digest, with_provenance

CASES = ({"case": "a", "image": "0123", "patient": "a"},)


@pytest.fixture
def state(build):
    return build(seed=1).state_dict()


@pytest.fixture
def weights(state, tmp_path):
    save_tensors(with_provenance(state, Provenance("pcl", labelled=CASES)), tmp_path / "model.pt")
    return tmp_path / "model.pt"


def test_weights_say_what_they_have_seen(weights, state):
    assert read_provenance(weights) == Provenance("pcl", state=state_digest(state), labelled=CASES)
    assert made_by(weights) == "pcl"


def test_a_copy_under_another_name_says_the_same(weights, tmp_path):
    shutil.copy(weights, tmp_path / "copy.pt")
    assert read_provenance(str(tmp_path / "copy.pt")) == read_provenance(weights)


def test_the_file_beside_weights_is_not_believed(weights, state, tmp_path):
    save_json(Provenance("local").to_dict(), weights.with_suffix(".json"))
    assert made_by(weights) == "pcl"
    torch.save(state, tmp_path / "plain.pt")
    save_json(read_provenance(weights).to_dict(), tmp_path / "plain.json")
    assert read_provenance(tmp_path / "plain.pt") is None


def fine_tuned(content, build):
    content["conv_0.conv_0.conv.weight"] += 0.1
    return content


def saved_anew_without_it(content, build):
    return dict(content)


def put_under_the_provenance_of_another(content, build):
    other = OrderedDict(build(seed=2).state_dict())
    vars(other)["provenance"] = vars(content)["provenance"]
    return other


def with_a_tensor_more(content, build):
    content["more"] = torch.zeros(1)
    return content


CHANGES = [fine_tuned, saved_anew_without_it, put_under_the_provenance_of_another, with_a_tensor_more]


@pytest.mark.parametrize("change", CHANGES)
def test_of_other_tensors_nothing_is_known(weights, build, change):
    torch.save(change(torch.load(weights, weights_only=True), build), weights)
    assert read_provenance(weights) is None


def test_that_tensors_were_changed_is_said(weights, build, caplog):
    torch.save(fine_tuned(torch.load(weights, weights_only=True), build), weights)
    with caplog.at_level(logging.WARNING):
        read_provenance(weights)
    assert caplog.messages == [
        f"Provenance unknown: {weights} holds other tensors than its provenance was written for."
    ]


def test_a_checkpoint_is_known_by_the_network_that_is_loaded_from_it(build, tmp_path):
    model = MeanTeacher(build(seed=1))
    known = Provenance("tcsm", state=state_digest(model.teacher.state_dict()))
    save_tensors({"network": model.state_dict(), "provenance": known.to_dict()}, tmp_path / "checkpoint_1.pt")
    assert read_provenance(tmp_path / "checkpoint_1.pt") == known
    save_tensors({"network": build(seed=2).state_dict(), "provenance": known.to_dict()}, tmp_path / "checkpoint_2.pt")
    assert read_provenance(tmp_path / "checkpoint_2.pt") is None


def test_heads_of_deep_supervision_do_not_matter(deeply_supervised, tmp_path):
    network = deeply_supervised(2)
    plain = deeply_supervised(2, deep_supervision=False)
    plain.load_state_dict({k: v for k, v in network.state_dict().items() if k in plain.state_dict()})
    known = Provenance("random", state=state_digest(plain.state_dict()))
    save_tensors({"network": network.state_dict(), "provenance": known.to_dict()}, tmp_path / "checkpoint_1.pt")
    assert read_provenance(tmp_path / "checkpoint_1.pt") == known


@pytest.mark.parametrize("weights", [None, "none", "nowhere.pt"])
def test_no_weights_have_no_provenance(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_provenance(weights) is None
    assert made_by(weights) is None


def test_a_provenance_that_cannot_be_read_is_refused_and_switches_nothing_off(weights):
    content = torch.load(weights, weights_only=True)
    vars(content)["provenance"]["labelled"] = "a"
    torch.save(content, weights)
    with pytest.raises(
        InputError, match=r"^the provenance in .*model\.pt 'labelled' must be a list of mappings .* got a"
    ):
        read_provenance(weights)


def test_weights_of_unknown_provenance_are_evaluated_only_when_it_is_said(weights, state, tmp_path):
    require_provenance(weights)
    torch.save(state, tmp_path / "foreign.pt")
    message = r"^provenance unknown: .*foreign\.pt does not say .*; give --allow_unknown_provenance true to evaluate it"
    with pytest.raises(InputError, match=message) as caught:
        require_provenance(tmp_path / "foreign.pt", "false")
    assert "\n" not in str(caught.value)
    require_provenance(tmp_path / "foreign.pt", "true")


def test_the_option_must_be_a_switch(weights):
    with pytest.raises(InputError, match="allow_unknown_provenance must be true or false, got 'perhaps'"):
        require_provenance(weights, "perhaps")


def test_a_file_that_changes_is_read_again(weights, state):
    read_provenance(weights)
    save_tensors(with_provenance(state, Provenance("local")), weights)
    assert made_by(weights) == "local"


def test_it_comes_from_a_config(weights):
    config = {"value": {"_target_": "semicl_monai.networks.read_provenance", "weights": str(weights)}}
    assert ConfigParser(config).get_parsed_content("value").method == "pcl"
    assert json.dumps(ConfigParser(config).get_parsed_content("value").to_dict())
