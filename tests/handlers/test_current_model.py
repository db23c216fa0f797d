from __future__ import annotations

import json
import logging
import os

import pytest
import torch
from monai.handlers import CheckpointLoader, StatsHandler

from semicl_monai.handlers import ModelSaver, start_from_newer
from semicl_monai.networks import checksum


@pytest.fixture
def pretrained(tmp_path):
    torch.save({"weight": torch.ones(1)}, tmp_path / "model_pretrained.pt")
    return tmp_path / "model_pretrained.pt"


@pytest.fixture
def handlers(tmp_path):
    """The handlers of a trainer as MONAI Label changes them."""
    loader = CheckpointLoader(str(tmp_path / "model.pt"), {"model": torch.nn.Linear(1, 1)})
    return [loader, StatsHandler(name="one"), StatsHandler(name="two")]


def record(tmp_path, **content):
    (tmp_path / "model.json").write_text(json.dumps(content))


def test_a_model_that_is_older_than_the_pretraining_is_not_started_from(handlers, pretrained, tmp_path, caplog):
    record(tmp_path, pretrained="another")
    with caplog.at_level(logging.INFO):
        assert start_from_newer(handlers, pretrained) == handlers[1:]
    assert f"Training does not start from {tmp_path / 'model.pt'}, which is older than {pretrained}." in caplog.text


@pytest.mark.parametrize(("age", "kept"), [(1, 1), (-1, 0)])
def test_of_one_that_does_not_say_the_time_tells(handlers, pretrained, tmp_path, age, kept):
    (tmp_path / "model.pt").touch()
    record(tmp_path, method="local")
    os.utime(tmp_path / "model.pt", (0, pretrained.stat().st_mtime + age))
    assert start_from_newer(handlers, str(pretrained)) == handlers[1 - kept :]


@pytest.mark.parametrize("start", ["pretrained", "none"])
def test_the_model_it_goes_on_from_is_in_the_record_of_the_next(handlers, pretrained, tmp_path, start):
    record(tmp_path, pretrained=checksum(pretrained), labelled=["a"], unlabelled=["b", "c"])
    seen = {"labelled": [{"image": "b.nii"}]}
    saver = ModelSaver(tmp_path / "model.pt", torch.nn.Linear(1, 1), seen=seen)
    start_from_newer([*handlers, saver], pretrained if start == "pretrained" else "none")
    saver.write()
    written = json.loads((tmp_path / "model.json").read_text())
    assert (written["labelled"], written["unlabelled"]) == (["a", "b"], ["c"])


def test_a_model_that_was_fine_tuned_from_these_weights_is_gone_on_from(handlers, pretrained, tmp_path):
    record(tmp_path, pretrained=checksum(pretrained))
    assert start_from_newer(handlers, pretrained) == handlers


@pytest.mark.parametrize("pretrained", [None, "none"])
def test_without_pretrained_weights_all_handlers_stay(handlers, pretrained):
    assert start_from_newer(handlers, pretrained) == handlers
