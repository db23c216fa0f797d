"""The method of CONTRIBUTING.md, in a module of the user's own."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def own_method(tmp_path, monkeypatch):
    """The recipe's file where Python finds it."""
    (code,) = re.findall(r"```python\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL)
    (tmp_path / "my_methods.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return "my_methods.BarlowTwins"


def test_a_method_in_one_file_of_the_users_pretrains_and_is_fine_tuned(own_method, run_stage, tmp_path):
    run_stage("pretrain", method=own_method, **{"method_def::redundancy_weight": 0.01})
    options = json.loads((tmp_path / "eval/pretrain/options.json").read_text())
    assert (options["method"], options["redundancy_weight"]) == (own_method, 0.01)
    assert list((tmp_path / "models/checkpoints/pretrain/barlow_twins").glob("checkpoint_*.pt"))
    run_stage("train", validation="none")
    assert json.loads((tmp_path / "models/model.json").read_text())["method"] == own_method
    run_stage("evaluate", num_overlays=0)
