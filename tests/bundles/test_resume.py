"""What a stage is resumed with, and who writes to its folders."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from semicl_monai.utils import InputError, find_input_error, unlock_folders

SCRATCH = {"pretrained": "none", "validation": "none"}
SCALING = {"_target_": "ScaleIntensityd", "keys": "image"}


def _cause(error):
    return str(find_input_error(error))


@pytest.fixture
def load_options(workflow):
    """Compare a stage with what a checkpoint was started with; nothing is trained for it."""

    def load(stage, state, **options):
        built = workflow(stage, resume=True, **options)
        built.parser.get_parsed_content("run_options").load_state_dict(state)

    return load


def _state(folder, stage):
    return torch.load(next(folder.rglob(f"checkpoints/{stage}/**/checkpoint_1.pt")), weights_only=True)["options"]


TRAIN = {
    "network_def::dropout": (0.2, "network_def::dropout 0.1, not 0.2"),
    "network_def::norm": ("batch", "network_def::norm ['instance', {'affine': True}], not batch"),
    "scaling": (SCALING, "scaling::_target_ ScaleIntensityRangePercentilesd, not ScaleIntensityd"),
    "slice_axis": (1, "slice_axis 2, not 1"),
    "class_names": (["Front", "Back"], r"class_names ['Anterior', 'Posterior'], not ['Front', 'Back']"),
    "label_values": ([1, 3], "label_values left out, not [1, 3]"),
    "optimizer::weight_decay": (0.1, "optimizer::weight_decay 1e-05, not 0.1"),
    "bfloat16": (True, "bfloat16 False, not True"),
    "amp": ("true", "amp False, not True"),
    "dice_ce::batch": (False, "dice_ce::batch True, not False"),
    "train::trainer::max_epochs": (9, "train::trainer::max_epochs 1, not 9"),
    "method": ("mixup", "method random, not mixup"),
    "classifier_learning_rate": (0.1, "classifier_learning_rate 0.01, not 0.1"),
    "train::random_transforms": (["%draw"], "train::random_transforms::0::_target_ left out, not semicl_monai"),
    "replace_nan": (0, "replace_nan None, not 0"),
    "network_def": (torch.nn.Conv2d(1, 3, 1), "network_def {...}, not Conv2d"),
    "split_seed": (1, "another split"),
    "labelled_fraction": (3, "another split"),
}


def test_fine_tuning_is_resumed_with_the_options_it_was_started_with(run_stage, load_options, dataset_dir, tmp_path):
    run_stage("train", **SCRATCH, **{"network_def::dropout": 0.1})
    state = _state(tmp_path, "train")
    for name, (value, message) in TRAIN.items():
        with pytest.raises((InputError, RuntimeError)) as raised:
            load_options("train", state, **SCRATCH, **{"network_def::dropout": 0.1, name: value})
        wanted = f"the run was started on {message}" if message == "another split" else f"started with {message}"
        assert wanted in _cause(raised.value)
        assert "\n" not in _cause(raised.value)
    moved = shutil.copytree(dataset_dir, tmp_path / "moved")
    same = {"num_workers": 2, "val_interval": 1, "device": torch.device("cpu"), "dataset_dir": str(moved), "seed": "$0"}
    load_options("train", state, **SCRATCH, **same, **{"network_def::dropout": 0.1, "classifier_learning_rate": 0.01})


def test_pretraining_is_resumed_with_the_options_it_was_started_with(run_stage, load_options, tmp_path):
    run_stage("pretrain", method="local")
    state = _state(tmp_path, "pretrain")
    changes = {
        "temperature": (0.2, "temperature 0.1, not 0.2"),
        "method": ("global", "method local, not global"),
        "method_def::tap": (3, "method_def::tap left out, not 3"),
        "optimizer::weight_decay": (0.1, "optimizer::weight_decay 1e-05, not 0.1"),
        "spacing": ([2, 2, 2], "spacing None, not [2, 2, 2]"),
    }
    for name, (value, message) in changes.items():
        with pytest.raises((InputError, RuntimeError)) as raised:
            load_options("pretrain", state, **{"method": "local", name: value})
        assert f"the run was started with {message}" in _cause(raised.value)
    load_options("pretrain", state, method="local", temperature=0.1, embedding="tsne", cache_dir=str(tmp_path))


def test_another_data_set_with_the_same_names_is_refused_before_any_training(run_stage, dataset_dir, tmp_path):
    run_stage("train", **SCRATCH)
    moved = shutil.copytree(dataset_dir, tmp_path / "moved")
    case = json.loads((tmp_path / "eval/train/split.json").read_text())["labelled"][0]
    image = nib.load(moved / "imagesTr" / f"{case}.nii.gz")
    voxels = np.asarray(image.dataobj).copy()
    voxels[3, 3, 3] += 1
    nib.save(nib.Nifti1Image(voxels, image.affine), moved / "imagesTr" / f"{case}.nii.gz")
    with pytest.raises(RuntimeError) as raised:
        run_stage("train", **SCRATCH, dataset_dir=str(moved), resume=True)
    last = tmp_path / "models/checkpoints/train/checkpoint_1.pt"
    message = f"the run was started with another image of case {case}; the file has changed"
    assert _cause(raised.value) == f"cannot resume from {last}: it does not fit this run ({message})."


def test_what_trackers_and_monai_label_put_into_a_config_may_differ(run_stage, load_options, config, tmp_path):
    run_stage("train", **SCRATCH)
    handlers = json.loads(config("train").read_text())["train"]["handlers"]
    loader = {"_target_": "CheckpointLoader", "load_path": "model.pt", "load_dict": {"model": "$@network"}}
    tracker = {"_target_": "MLFlowHandler", "tracking_uri": "@tracking_uri"}
    load_options(
        "train",
        _state(tmp_path, "train"),
        **SCRATCH,
        **{"tracking_uri": "elsewhere", "experiment_name": "a", "run_name": "b", "save_execute_config": False},
        **{"train::handlers": [loader, *handlers, tracker]},
    )


@pytest.mark.parametrize("stage", ["pretrain", "train", "evaluate", "inference"])
def test_a_second_run_into_the_same_folder_is_refused_before_it_writes(run_stage, images_dir, weights, tmp_path, stage):
    name = "predictions" if stage == "inference" else stage
    (tmp_path / "eval" / name).mkdir(parents=True)
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    words = [sys.executable, "-c", code, str(tmp_path / "eval" / name / ".lock")]
    options = {"inference": {"dataset_dir": str(images_dir), "weights": weights}, "evaluate": {"weights": weights}}
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(RuntimeError) as raised:
            run_stage(stage, **options.get(stage, SCRATCH))
        other.communicate(b"\n")
    folder = tmp_path / "eval" / name
    message = f"another run is at work in {folder}: wait for it, or give another --output_dir."
    assert _cause(raised.value) == message
    assert [file.name for file in folder.iterdir()] == [".lock"]


def test_a_stage_holds_its_folders_to_its_end(run_stage, workflow, tmp_path):
    built = workflow("train", **SCRATCH)
    built.initialize()
    built.run()
    held = [tmp_path / "models", tmp_path / "eval/train"]
    assert all((folder / ".lock").is_file() for folder in held)
    built.finalize()
    assert not any((folder / ".lock").exists() for folder in held)
    unlock_folders(held)
