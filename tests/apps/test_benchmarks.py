"""The benchmarks measure what they should; how fast it is, is not a test."""

from __future__ import annotations

import json
import re

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser

from semicl_monai.apps import benchmark_training as benchmark
from semicl_monai.apps.benchmark_drawing import benchmark_drawing
from semicl_monai.apps.benchmark_inference import benchmark_inference, print_dice
from semicl_monai.apps.benchmark_loss import benchmark_loss
from semicl_monai.apps.benchmark_training import benchmark_training
from semicl_monai.apps.find_bundle import VOLUMES, find_bundle
from semicl_monai.synthetic import make_synthetic_hippocampus

TINY = {
    "network_def::features": [4, 4, 8, 8, 8, 4],
    "roi_size": [32, 32],
    "device": "cpu",
    "iterations_per_epoch": 3,
    "samples_per_volume": 1,
    "labelled_fraction": 2,
}


def test_the_loss_benchmark_agrees_with_the_dense_formula(capsys):
    (row,) = benchmark_loss(num_pixels=(256,), channels=8, repeats=1)
    assert row["value_diff"] == pytest.approx(0, abs=1e-5)
    assert row["grad_diff"] == pytest.approx(0, abs=1e-5)
    assert "times_faster" in capsys.readouterr().out


@pytest.mark.parametrize("bfloat16", [True, False])
def test_the_bare_network_is_run_in_the_precision_of_the_step(tmp_path, monkeypatch, bfloat16):
    data = make_synthetic_hippocampus(tmp_path / "data", num_cases=8, num_test=1, spatial_size=(24, 30, 16))
    autocast = []

    def spy(*arguments):
        autocast.append(torch.is_autocast_enabled("cpu"))
        return bare_pass(*arguments)

    bare_pass = benchmark._pass
    monkeypatch.setattr(benchmark, "_pass", spy)
    benchmark.benchmark_training(str(data), epochs=1, methods=("random", "joint"), bfloat16=bfloat16, **TINY)
    assert autocast == [bfloat16] * 46


def test_the_training_benchmark_times_every_stage_of_every_kind_of_method(tmp_path, capsys):
    data = make_synthetic_hippocampus(tmp_path / "data", num_cases=8, num_test=1, spatial_size=(24, 30, 16))
    methods = ("pirl", "chaitanya_global_local", "mixup", "mean_teacher", "local_pseudo")
    benchmark_training(str(data), epochs=1, methods=methods, **TINY)
    printed = capsys.readouterr().out
    stages = ("pirl, jigsaw", "chaitanya_global_local, partition", "chaitanya_global_local, region")
    for title in (*stages, "mixup, train", "mean_teacher, train", "local_pseudo, train"):
        assert f"{title}: " in printed
    assert printed.count("of its rate") == 6
    assert printed.count("wait for data") == 6


def test_the_drawing_benchmark_prints_times_and_the_bytes_of_a_volume(capsys):
    benchmark_drawing(spatial_size=(40, 48, 32), roi_size=(8, 8, 8), repeats=1)
    patch, slice_, volume, prepare = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (patch[0], slice_[0], volume[0], prepare[0]) == ("patch", "slice", "volume", "prepare")
    assert min(float(line[column]) for line in (patch, slice_) for column in (1, -2)) > 0
    # image and label in float32
    assert float(volume[5]) == pytest.approx(2 * 4 * 40 * 48 * 32 / 2**20, abs=0.01)
    assert 0.375 <= float(volume[-1]) <= 0.4


TINY_VOLUMES = {"network_def::filters": [4, 4, 8, 8], "roi_size": [16, 16, 16], "device": "cpu", "bfloat16": False}


def test_the_inference_benchmark_compares_the_bundle_with_the_bare_network_and_fast_inference(capsys):
    benchmark_inference(spatial_size=(40, 40, 40), repeats=1, **TINY_VOLUMES)
    lines = capsys.readouterr().out.splitlines()
    rows = {" ".join(re.findall("[a-z]+", line)).removesuffix(" s i"): line for line in lines}
    numbers = {name: [float(n) for n in re.findall(r"\d+\.?\d*", line)] for name, line in rows.items()}
    for other in ("bare", "fast"):
        (ours, memory), (theirs, theirs_memory), ratio = (
            numbers[key] for key in ("bundle", other, f"bundle to {other}")
        )
        rounded = 0.0005
        low, high = (ours - rounded) / (theirs + rounded), (ours + rounded) / (theirs - rounded)
        assert low - 0.005 <= ratio[0] <= high + 0.005
        assert ratio[1] == pytest.approx(memory / theirs_memory, abs=0.02)


def test_the_inference_benchmark_takes_trained_weights_and_an_image(tmp_path, capsys, monkeypatch):
    here = "semicl_monai.apps.benchmark_inference._in_own_process"
    monkeypatch.setattr(here, lambda run, given: run(*given))  # a process takes longer to start than to segment
    nib.save(
        nib.Nifti1Image(np.random.default_rng(0).random((16, 20, 18), np.float32), np.eye(4)), tmp_path / "a.nii.gz"
    )
    config = find_bundle(None, "inference", default=VOLUMES) / "configs/inference.json"
    parser = ConfigParser(json.loads(config.read_text()) | {"network_def": None})
    parser["network_def"] = ConfigParser.load_config_file(config)["network_def"] | {"filters": [4, 4, 8, 8]}
    network = parser.get_parsed_content("network_def")
    network.output_block.conv.conv.bias.data[1] = 99  # every voxel is of this class
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    given = {"weights": str(tmp_path / "weights.pt"), "image": str(tmp_path / "a.nii.gz")}
    benchmark_inference(repeats=1, **given, **TINY_VOLUMES)
    dice = capsys.readouterr().out.splitlines()[-2:]
    assert dice == [f"Dice of bundle and fast, {name}: 1.00000" for name in ("Anterior", "Posterior")]


def test_the_dice_of_two_masks_is_that_of_their_voxels(capsys):
    masks = torch.tensor([[0, 1, 1, 2, 2, 2], [0, 1, 0, 2, 2, 0]]).reshape(2, 1, 1, 6, 1, 1)
    config = {"num_classes": 3, "class_names": ["Anterior", "Posterior"]}
    print_dice(*masks, ConfigParser(config))
    wanted = [2 * 1 / (2 + 1), 2 * 2 / (3 + 2)]
    names = config["class_names"]
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"Dice of bundle and fast, {name}: {value:.5f}" for name, value in zip(names, wanted, strict=True)
    ]
