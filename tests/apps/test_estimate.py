from __future__ import annotations

import json
import re
import shutil

import nibabel as nib
import pytest
import torch
from monai.engines import SupervisedTrainer
from monai.inferers import SlidingWindowInferer

from semicl_monai.apps import estimate as module
from semicl_monai.apps.estimate import StageTime, estimate, stage_times
from semicl_monai.apps.new_bundle import new_bundle
from semicl_monai.data import SegmentationDatalist
from semicl_monai.synthetic import make_synthetic_hippocampus

SETTINGS = {"epochs": 3, "iterations_per_epoch": 5, "batch_size": 2, "samples_per_volume": 1}
PRETRAIN = {"epochs": 4, "iterations_per_epoch": 7, "batch_size": 3}
TRAIN = {"epochs": 10, "iterations_per_epoch": 6, "batch_size": 2, "val_interval": 5}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    return make_synthetic_hippocampus(folder, num_cases=6, num_test=1, spatial_size=(24, 30, 16))


@pytest.fixture(scope="module")
def record(data):
    """A labelled training volume."""
    return SegmentationDatalist(data, "dataset.json", 1.0, 0).labelled[0]


@pytest.fixture(scope="module")
def bundle(data, tmp_path_factory):
    """A new bundle with a small network, and with numbers of its own in both stages."""
    folder = tmp_path_factory.mktemp("bundles")
    two_stages = {"spatial_dims": 2, "method": "global_local"}
    new_bundle("own_mri_segmentation", str(data), folder=str(folder), estimate=False, **two_stages)
    for stage, own in (("pretrain", PRETRAIN), ("train", TRAIN)):
        file = folder / f"own_mri_segmentation/configs/{stage}.json"
        config = json.loads(file.read_text())
        config["network_def"]["filters"] = [4] * len(config["network_def"]["filters"])
        file.write_text(json.dumps({**config, **own, "device": "$torch.device('cpu')"}))
    return folder / "own_mri_segmentation"


@pytest.fixture
def clock(monkeypatch):
    """A clock on which only training steps take time: two seconds for each volume of the batch."""
    now = {"seconds": 0.0}
    step = SupervisedTrainer._iteration

    def timed(self, engine, batch):
        now["seconds"] += 2 * len(batch["case"]) / 4  # four slices a volume
        return step(self, engine, batch)

    monkeypatch.setattr(SupervisedTrainer, "_iteration", timed)
    monkeypatch.setattr(module, "perf_counter", lambda: now["seconds"])
    monkeypatch.setattr(module, "LONGEST", 1000.0)


def test_a_stage_takes_its_steps_and_its_validations():
    assert StageTime("fine-tuning", SETTINGS, step=2.0, validation=7.0).seconds == 3 * 5 * 2.0 + 7.0


def test_all_stages_of_the_default_method_are_timed_with_the_numbers_of_their_configs(bundle, record, clock):
    times = stage_times(bundle, record, num_validation=2)
    assert [time.name for time in times] == ["pre-training global", "pre-training local", "fine-tuning"]
    assert [time.step for time in times] == [6.0, 6.0, 4.0]  # batches of three and of two volumes
    assert [time.seconds for time in times] == [4 * 7 * 6.0, 4 * 7 * 6.0, 10 * 6 * 4.0]


def test_slow_steps_are_timed_on_a_single_volume(bundle, record, clock, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 1.0)
    sizes = []
    timed = module._time_steps
    monkeypatch.setattr(module, "_time_steps", lambda *args, **more: sizes.append(more) or timed(*args, **more))
    assert [time.step for time in stage_times(bundle, record, num_validation=2)] == [6.0, 6.0, 4.0]
    assert sizes == [{"batch_size": 1, "steps": 1}] * 3


def test_validation_is_timed_for_all_slices_volumes_and_validations(bundle, record, monkeypatch):
    monkeypatch.setattr(module, "SLICES", 4)
    ticks = iter(range(1000))
    monkeypatch.setattr(module, "perf_counter", lambda: float(next(ticks)))  # whatever is timed takes a second
    *_, fine_tuning = stage_times(bundle, record, num_validation=3)
    slices = nib.load(record["image"]).shape[2]
    assert fine_tuning.validation == 3 * 2 * slices / 4  # volumes, validations, seconds of a volume


def test_it_says_what_the_stages_take_and_what_makes_them_shorter(bundle, record, clock):
    lines = estimate(bundle, record, num_validation=0)
    assert re.fullmatch(r"about 10 min on this machine \(cpu, \d+ threads?\)", lines[0])
    assert lines[1:] == [
        "pre-training global: 3 min, 4 epochs of 7 steps of 6 s",
        "pre-training local: 3 min, 4 epochs of 7 steps of 6 s",
        "fine-tuning: 4 min, 10 epochs of 6 steps of 4 s",
        "shorter in proportion: less of --epochs (now 4 and 10), --iterations_per_epoch (now 7 and 6), --batch_size "
        "(now 3 and 2) or --samples_per_volume (now 4)",
        "without pre-training: train.json alone, with --pretrained none",
    ]


def test_nothing_is_written(bundle, record, clock):
    before = {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()}
    stage_times(bundle, record, num_validation=2)
    assert {file: file.read_bytes() for file in bundle.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize(("given", "shown"), [({}, True), ({"estimate": "false"}, False)])
def test_a_new_bundle_comes_with_the_estimate_unless_it_is_not_wanted(data, tmp_path, capsys, given, shown):
    new_bundle("own_mri_segmentation", str(data), folder=str(tmp_path), **given)
    assert ("on this machine" in capsys.readouterr().out) is shown


@pytest.fixture(scope="module")
def patches(data, tmp_path_factory):
    """A new bundle in 3-D, which fine-tunes with the unlabelled volumes."""
    folder = tmp_path_factory.mktemp("bundles")
    new_bundle("own_mri_segmentation", str(data), folder=str(folder), labelled_fraction=1, estimate=False)
    own = {"epochs": 10, "iterations_per_epoch": 6, "val_interval": 5, "device": "$torch.device('cpu')"}
    file = folder / "own_mri_segmentation/configs/train.json"
    config = json.loads(file.read_text())
    config["network_def"]["filters"] = [4] * len(config["network_def"]["filters"])
    file.write_text(json.dumps({**config, **own}))
    return folder / "own_mri_segmentation"


def test_epochs_with_labels_alone_have_a_step_of_their_own(patches, record, monkeypatch):
    monkeypatch.setattr(module, "_seconds_of_validation", lambda *_: 0.0)
    monkeypatch.setattr(
        module, "_time_steps", lambda config, _, batch_size, steps: [7.0, 2.0][config["warm_up_epochs"]]
    )
    (time,) = stage_times(patches, record, num_validation=2)
    assert (time.warm_up, time.warm_up_step) == (2, 2.0 * 2)  # two labelled volumes in place of one
    assert time.step == 7.0 * 3 / 2  # one labelled volume and two unlabelled ones, in place of one and one
    assert time.seconds == 6 * (2 * 4.0 + 8 * 10.5)
    assert "fine-tuning: 9 min, 10 epochs of 6 steps of 10 s (4 s in the first 2 epochs)" in estimate(
        patches, record, 0
    )


def test_steps_with_a_teacher_run(patches, record, monkeypatch):
    batches = []
    step = SupervisedTrainer._iteration

    def seen(self, engine, batch):
        batches.append({key: len(value) for key, value in batch.items() if key.endswith("image")})
        return step(self, engine, batch)

    monkeypatch.setattr(SupervisedTrainer, "_iteration", seen)
    monkeypatch.setattr(module, "LONGEST", 1000.0)
    stage_times(patches, record, num_validation=1)
    assert batches[1:3] == [{"image": 2}] * 2  # after a step of a single volume
    assert batches[-1] == {"image": 1, "unlabelled_image": 2, "unlabelled_weak_image": 2}


def test_validation_in_3d_is_timed_for_all_windows(patches, record, monkeypatch):
    ticks = iter(range(1000))
    monkeypatch.setattr(module, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(module, "_windows", lambda inferer, size: 7)
    (time,) = stage_times(patches, record, num_validation=3)
    assert time.validation == 3 * 2 * 7  # volumes, validations, windows of a second


@pytest.mark.parametrize("size", [(10, 10, 10), (16, 24, 17), (40, 33, 16)])
def test_windows_are_counted_as_monai_places_them(size):
    inferer, seen = SlidingWindowInferer((16, 16, 16), overlap=0.5, sw_batch_size=1), []
    inferer(torch.zeros(1, 1, *size), lambda window: seen.append(1) or window)
    assert module._windows(inferer, size) == len(seen)


def test_a_method_of_two_data_sets_is_timed_on_the_volume_too(bundle, record, clock, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    file = tmp_path / "bundle/configs/pretrain.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "method": "joint", "dataset_dir": "/nowhere"}))
    joint, _ = stage_times(tmp_path / "bundle", record, num_validation=0)
    assert joint.step == 6.0
