from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.methods import run_pretraining, stages_to_run
from semicl_monai.networks import read_provenance
from semicl_monai.utils import InputError, Provenance, save_tensors, with_provenance


def write_weights(path, method):
    save_tensors(with_provenance({"weight": torch.ones(1)}, Provenance(method=method)), path)


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
    left_over = stages_to_run(method, tmp_path / "weights.pt" if made_by else "none")
    assert [stage.objective for stage in left_over] == left


@pytest.mark.parametrize("made_by", ["local", "rotation", "global_local"])
def test_pretraining_does_not_go_on_from_another_method(tmp_path, made_by):
    write_weights(tmp_path / "weights.pt", made_by)
    with pytest.raises(InputError, match=rf"method simclr cannot continue from .*\.pt, which method {made_by} has"):
        stages_to_run("simclr", tmp_path / "weights.pt")


class Log:
    """What the steps have been run with."""

    def __init__(self):
        self.entries = []

    def note(self, method, pretrained, weights_file):
        self.entries.append((method, pretrained, weights_file, torch.rand(1).item()))
        write_weights(weights_file, method)

    def prepare(self):
        self.entries.append("prepared")


def run(method, folder, pretrained="none"):
    log = Log()
    config = {
        "log": log,
        "method": method,
        "pretrained": pretrained,
        "ckpt_dir": str(folder),
        "weights_file": "$@ckpt_dir + '/model_pretrained.pt'",
        "seed": 0,
        "network": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1},
        "prepare": "$@log.prepare()",
        "steps": ["$@log.note(@method, @pretrained, @weights_file)"],
        "run": {"_target_": "semicl_monai.methods.run_pretraining", "method": "@method", "pretrained": "@pretrained"},
    }
    ConfigParser(config).get_parsed_content("run")
    return log.entries


def test_a_method_of_two_stages_runs_the_steps_for_each_on_the_weights_of_the_last(tmp_path):
    prepared, first, last = run("global_local", tmp_path)
    names = [str(tmp_path / f"{name}.pt") for name in ("model_pretrained_first", "model_pretrained")]
    assert prepared == "prepared"
    assert first[:3] == ("simclr", "none", names[0])
    assert last[:3] == ("global_local", *names)
    assert first[3] == last[3]  # random numbers begin anew


def test_a_method_of_one_stage_runs_the_steps_once_and_one_without_any_writes_the_network(tmp_path):
    write_weights(tmp_path / "weights.pt", "simclr")
    assert [entry[0] for entry in run("pcl", tmp_path)] == ["pcl"]
    assert [entry[0] for entry in run("global_local", tmp_path, str(tmp_path / "weights.pt"))] == ["global_local"]
    (tmp_path / "model_pretrained.pt").unlink()
    assert run("mixup", tmp_path) == []
    assert read_provenance(tmp_path / "model_pretrained.pt").method == "mixup"
    assert torch.load(tmp_path / "model_pretrained.pt", weights_only=True).keys() == {"weight", "bias"}


def test_outside_of_a_config_there_are_no_steps():
    with pytest.raises(InputError, match="must be a step of a config that is being run"):
        run_pretraining("pcl")
