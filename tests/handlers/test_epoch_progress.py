from __future__ import annotations

import re

import pytest
from monai.bundle import ConfigParser

from semicl_monai.handlers import EpochProgress


def test_one_bar_counts_epochs_and_shows_the_last_loss(stage, capsys):
    one = stage(epochs=3)
    one.run(EpochProgress("Fine-tuning", ncols=100))
    shown = re.split(r"[\r\n]+", capsys.readouterr().err)
    last = next(line for line in reversed(shown) if line.strip())
    assert last.startswith("Fine-tuning")
    assert "3/3" in last
    loss = float(re.search(r"loss=([\d.e+-]+)", last)[1])
    assert loss == pytest.approx(one.trainer.state.output[0]["loss"], rel=0.01)


def test_it_builds_from_a_config():
    config = {"handler": {"_target_": "semicl_monai.handlers.EpochProgress", "desc": "Fine-tuning"}}
    assert isinstance(ConfigParser(config).get_parsed_content("handler"), EpochProgress)
