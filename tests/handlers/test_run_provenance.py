from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from semicl_monai.handlers import ModelSaver, ResumeCheckpoint, RunProvenance
from semicl_monai.networks import read_provenance
from semicl_monai.utils import InputError, Provenance


def names(cases):
    return [case["case"] for case in cases]


@pytest.fixture
def network():
    return nn.Linear(2, 2)


@pytest.mark.parametrize("pretrained", [None, "none"])
def test_a_network_that_has_seen_nothing_says_so(network, pretrained):
    assert RunProvenance(network, pretrained=pretrained).current() == Provenance()


def test_what_the_pretrained_weights_have_seen_counts_too(network, images, seen, tmp_path):
    pretrained, earlier = tmp_path / "model_pretrained.pt", nn.Linear(2, 2)
    before = {"labelled": [images["e"]], "unlabelled": [images[name] for name in "afg"]}
    ModelSaver(pretrained, earlier, provenance=RunProvenance(earlier, before)).write()
    found = RunProvenance(network, seen, pretrained).current()
    assert [names(cases) for cases in (found.labelled, found.unlabelled, found.validation)] == [
        ["e", "a"],
        ["f", "g", "b", "c"],
        ["d"],
    ]
    assert found.pretrained == hashlib.sha256(pretrained.read_bytes()).hexdigest()
    assert not found.from_unknown


def test_another_image_of_the_same_name_is_another_case(network, images, tmp_path):
    (tmp_path / "other").mkdir()
    other = Path(images["b"]["image"]).rename(tmp_path / "other" / "a.nii.gz")
    found = RunProvenance(network, {"labelled": [images["a"]], "unlabelled": [{"image": str(other)}]}).current()
    assert (names(found.labelled), names(found.unlabelled)) == (["a"], ["a"])


def test_a_case_and_a_patient_that_were_named_are_kept(network, images):
    record = {**images["a"], "case": "p1_frame1", "patient": "p1"}
    (found,) = RunProvenance(network, {"labelled": [record]}).current().labelled
    assert (found["case"], found["patient"]) == ("p1_frame1", "p1")


def test_what_is_made_from_weights_of_unknown_provenance_says_so(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "foreign.pt")
    assert RunProvenance(network, pretrained=tmp_path / "foreign.pt").current().from_unknown
    again = tmp_path / "model.pt"
    ModelSaver(again, network, provenance=RunProvenance(network, pretrained=tmp_path / "foreign.pt")).write()
    assert RunProvenance(nn.Linear(2, 2), pretrained=again).current().from_unknown


def test_weights_that_a_server_has_sent_are_of_unknown_provenance(stage, tmp_path, caplog):
    one = stage(epochs=1)
    saver = ModelSaver(tmp_path / "model.pt", one.network)
    one.run(saver)
    assert not read_provenance(tmp_path / "model.pt").from_unknown
    with torch.no_grad():
        one.network[0].weight.mul_(0.5)
    one.trainer.state.max_epochs = 2
    with caplog.at_level(logging.WARNING):
        one.trainer.run()
    assert read_provenance(tmp_path / "model.pt").from_unknown
    assert "Provenance unknown: the training starts from weights that were sent to it." in caplog.text


def test_two_stages_on_one_network_are_no_strangers_to_each_other(stage, tmp_path):
    one, other = stage(epochs=1), stage(epochs=1)
    other.trainer.network = one.network
    savers = [ModelSaver(tmp_path / f"{name}.pt", one.network, provenance=RunProvenance(one.network)) for name in "ab"]
    one.run(savers[0])
    one.trainer.should_terminate = False
    savers[1].attach(other.trainer)
    other.trainer.run()
    assert not read_provenance(tmp_path / "b.pt").from_unknown


def test_a_checkpoint_says_what_its_network_has_seen(stage, seen, tmp_path):
    one = stage(epochs=1)
    objects = {**one.objects, "provenance": RunProvenance(one.network, seen, method="pcl")}
    one.run(ResumeCheckpoint(tmp_path / "checkpoints", objects))
    found = read_provenance(tmp_path / "checkpoints/checkpoint_1.pt")
    assert (found.method, names(found.labelled), names(found.unlabelled)) == ("pcl", ["a"], ["b", "c"])


def test_a_resumed_run_still_knows_what_the_run_before_has_started_from(stage, seen, tmp_path):
    torch.save(stage(seed=4).network.state_dict(), tmp_path / "foreign.pt")
    for epochs, options in ((1, {"seen": seen, "pretrained": tmp_path / "foreign.pt"}), (2, {})):
        one = stage(epochs=epochs)
        provenance = RunProvenance(one.network, **options)
        saver = ModelSaver(tmp_path / "model.pt", one.network, provenance=provenance)
        one.run(saver, ResumeCheckpoint(tmp_path / "c", {**one.objects, "provenance": provenance}, resume=epochs == 2))
    found = read_provenance(tmp_path / "model.pt")
    assert (found.from_unknown, names(found.labelled)) == (True, ["a"])


def test_a_checkpoint_without_provenance_is_refused_in_one_line(stage, tmp_path):
    one = stage(epochs=1)
    one.run(ResumeCheckpoint(tmp_path, one.objects))
    again = stage(epochs=2)
    objects = {**again.objects, "provenance": RunProvenance(again.network)}
    with pytest.raises(InputError, match=r"^cannot resume from .*checkpoint_1\.pt: .*'provenance'") as caught:
        again.run(ResumeCheckpoint(tmp_path, objects, resume=True))
    assert "\n" not in str(caught.value)


def test_an_image_that_cannot_be_read_ends_the_run_before_its_first_epoch(stage, images, tmp_path):
    Path(images["a"]["image"]).write_bytes(b"\x1f\x8b damaged")
    one = stage()
    saver = ModelSaver(
        tmp_path / "model.pt", one.network, provenance=RunProvenance(one.network, {"labelled": [images["a"]]})
    )
    with pytest.raises(InputError, match=r"^image file .*a\.nii\.gz cannot be read: "):
        one.run(saver)
    assert one.trainer.state.iteration == 0


def test_an_unknown_part_is_refused(network):
    with pytest.raises(InputError, match="seen must have the parts labelled, unlabelled, validation, got 'tested'"):
        RunProvenance(network, seen={"tested": []})


def test_it_builds_from_a_config(network):
    config = {"value": {"_target_": "semicl_monai.handlers.RunProvenance", "network": network, "method": "pcl"}}
    assert ConfigParser(config).get_parsed_content("value").current() == Provenance(method="pcl")
