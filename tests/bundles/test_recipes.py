"""The recipes of CONTRIBUTING.md, in modules and files of the user's own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import monai
import pytest
import torch

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


def blocks(title, language):
    """The blocks of code of a recipe."""
    _, _, text = CONTRIBUTING.read_text().partition(f"## {title}\n")
    return re.findall(rf"```{language}\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)


@pytest.fixture
def own_method(tmp_path, monkeypatch):
    """The recipe's file where Python finds it."""
    (code,) = blocks("Add a method", "python")
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


@pytest.fixture
def run_with(config, dataset_dir, tmp_path, monkeypatch):
    """Run a stage with the recipe's file over its config, by the runner."""
    monkeypatch.chdir(tmp_path)

    def run(stage, file, **options):
        files = [str(config(stage)), str(file)]
        run_id = "run" if stage == "train" else stage
        given = {"dataset_dir": str(dataset_dir), "output_dir": str(tmp_path), "roi_size": [32, 32], "device": "cpu"}
        monai.bundle.run(run_id, config_file=files, labelled_fraction=2, **given | options)

    yield run
    monai.data.set_track_meta(True)


def written(folder, title):
    """The file of a recipe."""
    (text,) = blocks(title, "json")
    (folder / "own.json").write_text(text)
    return folder / "own.json"


@pytest.mark.parametrize("method", ["chaitanya_global_local", "local_pseudo"])
def test_a_network_with_a_layout_of_its_own_goes_through_all_stages(run_with, tmp_path, method):
    file, small = written(tmp_path, "Add a network"), {"epochs": 1, "iterations_per_epoch": 2}
    run_with("pretrain", file, method=method, **small)
    run_with("train", file, method=method, validation="none", classifier_learning_rate=0.02, warm_up_epochs=0, **small)
    run_with("evaluate", file, num_overlays=0)
    assert (tmp_path / "eval/evaluate/summary.json").is_file()
    weights = torch.load(tmp_path / "models/model.pt", weights_only=True)
    assert weights["model.1.submodule.1.submodule.1.submodule.conv.0.conv.weight"].shape == (128, 64, 3, 3)


def test_a_format_of_the_users_own_lists_the_cases(run_with, dataset_dir, tmp_path, monkeypatch):
    (code,) = blocks("Add a file format", "python")
    (tmp_path / "my_data.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(dataset_dir / "imagesTr", tmp_path / "data/images")
    shutil.copytree(dataset_dir / "labelsTr", tmp_path / "data/masks")
    missing = min((tmp_path / "data/masks").iterdir())
    missing.unlink()
    small = {"epochs": 1, "iterations_per_epoch": 1, "network_def::features": [4, 4, 8, 8, 8, 4]}
    file = written(tmp_path, "Add a file format")
    run_with("pretrain", file, **small, dataset_dir=str(tmp_path / "data"))
    split = json.loads((tmp_path / "eval/pretrain/split.json").read_text())
    assert missing.name.removesuffix(".nii.gz") in split["unlabelled"]
    assert len(split["labelled"]) == 2
