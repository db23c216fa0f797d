from __future__ import annotations

import logging
import os

import pytest
import torch
from monai.handlers import CheckpointLoader, StatsHandler

from semicl_monai.handlers import ModelSaver, RunProvenance, start_from_newer
from semicl_monai.networks import read_provenance
from semicl_monai.utils import Provenance, file_digest, image_digest, save_tensors, with_provenance


@pytest.fixture
def pretrained(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "model_pretrained.pt")
    return tmp_path / "model_pretrained.pt"


@pytest.fixture
def handlers(tmp_path):
    """The handlers of a trainer as MONAI Label changes them."""
    loader = CheckpointLoader(str(tmp_path / "model.pt"), {"model": torch.nn.Linear(1, 1)})
    return [loader, StatsHandler(name="one"), StatsHandler(name="two")]


def write_model(tmp_path, **content):
    save_tensors(with_provenance({"weight": torch.ones(1)}, Provenance(**content)), tmp_path / "model.pt")


def seen(*names):
    return tuple({"case": name, "image": f"digest of {name}", "patient": name} for name in names)


def names(cases):
    return [case["case"] for case in cases]


def test_a_model_that_is_older_than_the_pretraining_is_not_started_from(handlers, pretrained, tmp_path, caplog):
    write_model(tmp_path, pretrained="another")
    with caplog.at_level(logging.INFO):
        assert start_from_newer(handlers, pretrained) == handlers[1:]
    assert f"Training does not start from {tmp_path / 'model.pt'}, which is older than {pretrained}." in caplog.text


@pytest.mark.parametrize(("age", "kept"), [(1, 1), (-1, 0)])
def test_of_one_that_does_not_say_the_time_tells(handlers, pretrained, tmp_path, age, kept):
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pt")
    os.utime(tmp_path / "model.pt", (0, pretrained.stat().st_mtime + age))
    assert start_from_newer(handlers, str(pretrained)) == handlers[1 - kept :]


@pytest.mark.parametrize("start", ["pretrained", "none"])
def test_the_model_it_goes_on_from_is_in_the_record_of_the_next(handlers, pretrained, tmp_path, start):
    (tmp_path / "b.nii").write_text("b")
    b = ({"case": "b", "image": image_digest(tmp_path / "b.nii"), "patient": "b"},)
    write_model(tmp_path, pretrained=file_digest(pretrained), labelled=seen("a"), unlabelled=(*b, *seen("c")))
    network = torch.nn.Linear(1, 1)
    provenance = RunProvenance(network, {"labelled": [{"image": str(tmp_path / "b.nii")}]})
    saver = ModelSaver(tmp_path / "model.pt", network, provenance=provenance)
    start_from_newer([*handlers, saver], pretrained if start == "pretrained" else "none")
    saver.write()
    written = read_provenance(tmp_path / "model.pt")
    assert (names(written.labelled), names(written.unlabelled)) == (["a", "b"], ["c"])


def test_a_model_that_was_fine_tuned_from_these_weights_is_gone_on_from(handlers, pretrained, tmp_path):
    write_model(tmp_path, pretrained=file_digest(pretrained))
    assert start_from_newer(handlers, pretrained) == handlers


@pytest.mark.parametrize("pretrained", [None, "none"])
def test_without_pretrained_weights_all_handlers_stay(handlers, pretrained):
    assert start_from_newer(handlers, pretrained) == handlers
