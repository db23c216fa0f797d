"""The benchmarks measure what they should; how fast it is, is not a test."""

from __future__ import annotations

import pytest
import torch

from semicl_monai.apps import benchmark_training as benchmark
from semicl_monai.apps.benchmark_drawing import benchmark_drawing
from semicl_monai.apps.benchmark_inference import benchmark_inference
from semicl_monai.apps.benchmark_loss import benchmark_loss
from semicl_monai.apps.benchmark_training import benchmark_training
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


def test_the_inference_benchmark_compares_the_bundle_with_the_bare_network(capsys):
    tiny = {"network_def::filters": [4, 4, 8, 8], "roi_size": [16, 16, 16], "device": "cpu"}
    benchmark_inference(spatial_size=(20, 24, 20), **tiny)
    bare, bundle, ratio = (line.split() for line in capsys.readouterr().out.splitlines()[-3:])
    assert (bare[0], bundle[0], ratio[0]) == ("bare", "bundle", "ratio")
    ours, theirs, rounded = float(bundle[1]), float(bare[1]), 0.0005
    low, high = (ours - rounded) / (theirs + rounded), (ours + rounded) / (theirs - rounded)
    assert low - 0.005 <= float(ratio[1]) <= high + 0.005
    assert float(ratio[2]) == pytest.approx(float(bundle[3]) / float(bare[3]), abs=0.02)


def test_the_drawing_benchmark_prints_times_and_the_bytes_of_a_volume(capsys):
    benchmark_drawing(spatial_size=(40, 48, 32), roi_size=(8, 8, 8), repeats=1)
    patch, slice_, volume, prepare = (line.split() for line in capsys.readouterr().out.splitlines())
    assert (patch[0], slice_[0], volume[0], prepare[0]) == ("patch", "slice", "volume", "prepare")
    assert min(float(line[column]) for line in (patch, slice_) for column in (1, -2)) > 0
    # image and label in float32
    assert float(volume[5]) == pytest.approx(2 * 4 * 40 * 48 * 32 / 2**20, abs=0.01)
    assert 0.375 <= float(volume[-1]) <= 0.4
