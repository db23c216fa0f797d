"""The stages as a user types them: another folder, mistyped options, a kill."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time

import pytest
import torch


def test_a_stage_runs_from_any_folder_and_takes_the_options_a_person_would_type(run_command, tmp_path):
    options = {"labelled_fraction": 2, "method": "local", "pixel_sampler": "block", "amp": "false", "temperature": 0.2}
    result = run_command("pretrain", **options)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "cli/models/model_pretrained.pt").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochss": 1}, "error: unknown option --epochss, did you mean --epochs?"),
        ({"dataset_dir": "nowhere"}, "error: dataset_dir 'nowhere' does not hold dataset.json: point --dataset_dir"),
        ({"labelled_fraction": 0.01}, "labelled_fraction"),
        ({"output_dir": "/dev/null/run"}, "error: cannot write to /dev/null/run"),
        ({"output_dir": "@home"}, "error: output_dir '@home' begins with '@' and cannot be computed"),
    ],
)
def test_bad_input_ends_with_one_line_and_no_traceback(run_command, options, message):
    result = run_command("pretrain", **options)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert message in last
    assert last.startswith("error: ")
    assert "Traceback" not in result.stderr


def test_a_run_of_steps_that_the_config_does_not_have_is_refused(command):
    line = ["train" if word == "pretrain" else word for word in command("pretrain")]
    result = subprocess.run(line, capture_output=True, text=True, check=False)
    wanted = "error: the config has no steps 'train' to run: wanted python -m monai.bundle run pretrain."
    assert (result.returncode, result.stderr.strip().splitlines()[-1]) == (1, wanted)


@pytest.mark.parametrize(("stage", "most"), [("train", 6000), ("evaluate", 1500)])
def test_a_disk_that_takes_no_more_ends_with_one_line_and_no_traceback(command, weights, tmp_path, stage, most):
    options = {"labelled_fraction": 2, "pretrained": "none"} if stage == "train" else {"weights": weights}
    limit = ["import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)"]
    limit += ["os.execv(sys.argv[2], sys.argv[2:])"]
    words = [sys.executable, "-c", "; ".join(limit), str(most), *command(stage, **options)]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = re.findall(r"^error: .*$", result.stderr, re.MULTILINE)
    assert re.search(rf" {tmp_path}/cli/\S+: File too large; ", line), line
    assert "Traceback" not in result.stderr + result.stdout


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(command, run_command, tmp_path):
    options = {"labelled_fraction": 2, "method": "global_local", "epochs": 6, "iterations_per_epoch": 4}
    assert run_command("pretrain", **options, output_dir=tmp_path / "whole").returncode == 0

    _run_until(
        tmp_path / "killed/models/checkpoints/pretrain/local/checkpoint_2.pt",
        command("pretrain", **options, output_dir=tmp_path / "killed"),
    )
    assert not (tmp_path / "killed/models/model_pretrained.pt").exists()

    resumed = run_command("pretrain", **options, output_dir=tmp_path / "killed", resume="true")
    assert resumed.returncode == 0, resumed.stderr
    assert "Resumed from" in resumed.stdout
    _assert_same_weights(tmp_path, "model_pretrained.pt")


@pytest.mark.slow
def test_a_killed_fine_tuning_resumes_to_the_same_best_network(command, run_command, tmp_path):
    options = {"labelled_fraction": 2, "pretrained": "none", "val_interval": 1, "epochs": 5}
    assert run_command("train", **options, output_dir=tmp_path / "whole").returncode == 0

    _run_until(
        tmp_path / "killed/models/checkpoints/train/checkpoint_2.pt",
        command("train", **options, output_dir=tmp_path / "killed"),
    )

    assert run_command("train", **options, output_dir=tmp_path / "killed", resume="true").returncode == 0
    _assert_same_weights(tmp_path, "model.pt")


def _run_until(path, line):
    """Run a command and kill it as soon as ``path`` is there."""
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_for(path, process)
    process.send_signal(signal.SIGKILL)
    process.wait()


def _wait_for(path, process, seconds=120):
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


def _assert_same_weights(tmp_path, name):
    whole, killed = (torch.load(tmp_path / run / "models" / name, weights_only=True) for run in ("whole", "killed"))
    assert all(torch.equal(whole[key], killed[key]) for key in whole)
