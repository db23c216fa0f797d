"""A tiny synthetic data set, and the bundle at a size that runs in a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import monai
import pytest
from monai.bundle import ConfigWorkflow

from semicl_monai.data import make_synthetic_hippocampus

BUNDLE = Path(__file__).parents[2] / "bundles" / "hippocampus_mri_segmentation"
TINY = {
    "network_def::features": [4, 4, 8, 8, 8, 4],
    "roi_size": [32, 32],
    "device": "cpu",
}
TINY_TRAINING = {**TINY, "epochs": 1, "iterations_per_epoch": 2, "batch_size": 2, "slices_per_volume": 2}


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory):
    return make_synthetic_hippocampus(
        tmp_path_factory.mktemp("data") / "synthetic", num_cases=10, num_test=1, spatial_size=(24, 30, 16)
    )


@pytest.fixture
def config():
    """Return the path of a config file of the bundle."""
    return lambda name: BUNDLE / "configs" / f"{name}.json"


@pytest.fixture
def workflow(config, dataset_dir, tmp_path):
    """Build a stage of the bundle as the runner does, tiny, with its output in ``tmp_path``."""

    def build(name, **options):
        run_id = name if name in ("pretrain", "evaluate") else "run"
        size = TINY_TRAINING if name in ("pretrain", "train") else TINY
        fraction = {} if name == "inference" else {"labelled_fraction": 2}
        given = {"dataset_dir": str(dataset_dir), "output_dir": str(tmp_path), **size, **fraction, **options}
        kind = "train" if name in ("pretrain", "train") else "infer"
        return ConfigWorkflow(str(config(name)), run_id=run_id, logging_file=False, workflow_type=kind, **given)

    yield build
    monai.data.set_track_meta(True)


@pytest.fixture
def run_stage(workflow):
    """Run a stage of the bundle to its end."""

    def run(name, **options):
        built = workflow(name, **options)
        hook = sys.excepthook
        try:
            built.initialize()
            built.run()
        finally:
            built.finalize()
            sys.excepthook = hook
        return built

    return run


@pytest.fixture
def command(config, dataset_dir, tmp_path):
    """Return the command line of a stage, as a user would type it."""

    def line(name, **options):
        run_id = name if name in ("pretrain", "evaluate") else "run"
        size = TINY_TRAINING if name in ("pretrain", "train") else TINY
        given = {"dataset_dir": dataset_dir, "output_dir": tmp_path / "cli", **size, **options}
        arguments = [f"--{key}={value}" for key, value in given.items() if value is not None]
        return [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(config(name)), *arguments]

    return line


@pytest.fixture
def run_command(command, tmp_path):
    """Run a stage by the runner's command line, from another folder than the bundle's."""

    def run(name, **options):
        return subprocess.run(command(name, **options), cwd=tmp_path, capture_output=True, text=True, check=False)

    return run
