"""Tiny synthetic data sets, and a bundle at a size that runs in a second."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import monai
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from own_bundles import run_to_end

from semicl_monai.data import mmwhs_sections
from semicl_monai.networks import layout_of
from semicl_monai.synthetic import make_synthetic_hippocampus, make_synthetic_whole_heart
from semicl_monai.utils import Provenance, save_tensors, with_provenance

BUNDLES = Path(__file__).parents[2] / "bundles"
VOLUMES = "hippocampus_mri_3d_segmentation"
HEARTS = {
    "whole_heart_ct_segmentation": "ct",
    "whole_heart_mri_segmentation": "mr",
    "whole_heart_ct_3d_segmentation": "ct",
    "whole_heart_mri_3d_segmentation": "mr",
}
SLICES = {"network_def::features": [4, 4, 8, 8, 8, 4], "roi_size": [32, 32], "device": "cpu"}
# bfloat16 is rounded otherwise by each kind of CPU
PATCHES = {"network_def::filters": [4, 4, 8, 8], "roi_size": [16, 24, 16], "device": "cpu", "bfloat16": False}
# five poolings, of which four halve the first axis
DEEP_PATCHES = {**PATCHES, "network_def::filters": [4, 4, 8, 8, 8, 8], "roi_size": [32, 32, 32]}
TRAINING = {"epochs": 1, "iterations_per_epoch": 2, "batch_size": 2, "samples_per_volume": 2}


@pytest.fixture(scope="session")
def dataset_dir(tmp_path_factory):
    return make_synthetic_hippocampus(
        tmp_path_factory.mktemp("data") / "synthetic", num_cases=10, num_test=1, spatial_size=(24, 30, 16)
    )


@pytest.fixture(scope="session")
def heart_dir(tmp_path_factory):
    """Both modalities in the challenge's layout: oblique, anisotropic, axial CT, coronal and sagittal MR."""
    folder = tmp_path_factory.mktemp("data") / "heart"
    for modality in ("ct", "mr"):
        make_synthetic_whole_heart(folder, modality, num_train=8, num_test=2, spatial_size=(24, 24, 16))
    return folder


@pytest.fixture
def bundle(request):
    """Return the folder of the bundle that is run: of the one a test is parametrized with, by default the 2-D one."""
    return BUNDLES / getattr(request, "param", "hippocampus_mri_segmentation")


@pytest.fixture
def data_dir(bundle, request):
    """Return the folder of a data set of the bundle's kind."""
    return request.getfixturevalue("heart_dir" if bundle.name in HEARTS else "dataset_dir")


@pytest.fixture
def images_dir(bundle, data_dir):
    """Return the folder of the data set that holds images to segment and nothing else."""
    return data_dir / (f"{HEARTS[bundle.name]}_test" if bundle.name in HEARTS else "imagesTs")


@pytest.fixture
def records(bundle, data_dir):
    """Return the files of each labelled volume, as a client that keeps lists of its own names them."""
    if bundle.name in HEARTS:
        training = mmwhs_sections(data_dir, HEARTS[bundle.name])["training"]
        return [{key: record[key] for key in ("image", "label")} for record in training]
    images = sorted((data_dir / "imagesTr").glob("*.nii.gz"))
    return [{"image": str(image), "label": str(data_dir / "labelsTr" / image.name)} for image in images]


@pytest.fixture
def kind_options(bundle, tmp_path):
    """Return the options that keep the bundle's kind of data small, and what is written out of the bundle's folder."""
    return {"spacing": [9.0, 9.0, 9.0], "cache_dir": str(tmp_path / "cache")} if bundle.name in HEARTS else {}


@pytest.fixture
def size(bundle):
    """Return for a stage the options that make the bundle run in a second."""
    patches = DEEP_PATCHES if bundle.name in HEARTS else PATCHES
    tiny = patches if "_3d_" in bundle.name else SLICES
    return lambda stage: {**tiny, **TRAINING} if stage in ("pretrain", "train") else tiny


@pytest.fixture
def config(bundle):
    """Return the path of a config file of the bundle."""
    return lambda name: bundle / "configs" / f"{name}.json"


@pytest.fixture
def workflow(config, data_dir, kind_options, size, tmp_path):
    """Build a stage of the bundle as the runner does, tiny, with its output in ``tmp_path``."""

    def build(name, **options):
        run_id = name if name in ("pretrain", "evaluate") else "run"
        fraction = {} if name == "inference" else {"labelled_fraction": 2}
        where = {"dataset_dir": str(data_dir), "output_dir": str(tmp_path)}
        given = {**where, **size(name), **fraction, **kind_options, **options}
        kind = "train" if name in ("pretrain", "train") else "infer"
        return ConfigWorkflow(str(config(name)), run_id=run_id, logging_file=False, workflow_type=kind, **given)

    yield build
    monai.data.set_track_meta(True)


@pytest.fixture
def run_stage(workflow):
    """Run a stage of the bundle to its end."""

    def run(name, **options):
        return run_to_end(workflow(name, **options))

    return run


@pytest.fixture
def weights(config, size, tmp_path):
    """Write the weights of a tiny untrained network that answers every class somewhere."""
    parser = ConfigParser()
    parser.read_config(str(config("inference")))
    for option, value in size("inference").items():
        parser[option] = value
    torch.manual_seed(0)
    network = parser.get_parsed_content("network_def")
    for name, parameter in network.named_parameters():
        if layout_of(network).is_classifier(name) and name.endswith("bias"):
            torch.nn.init.zeros_(parameter)  # no class is ahead
    classes = tuple(parser.get_parsed_content("class_names"))
    save_tensors(with_provenance(network.state_dict(), Provenance(classes=classes)), tmp_path / "weights.pt")
    return tmp_path / "weights.pt"


@pytest.fixture
def command(config, data_dir, kind_options, size, tmp_path):
    """Return the command line of a stage, as a user would type it."""

    def line(name, **options):
        run_id = name if name in ("pretrain", "evaluate") else "run"
        given = {"dataset_dir": data_dir, "output_dir": tmp_path / "cli", **size(name), **kind_options, **options}
        arguments = [f"--{key}={value}" for key, value in given.items() if value is not None]
        return [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(config(name)), *arguments]

    return line


@pytest.fixture
def run_command(command, tmp_path):
    """Run a stage by the runner's command line, from another folder than the bundle's."""

    def run(name, **options):
        return subprocess.run(command(name, **options), cwd=tmp_path, capture_output=True, text=True, check=False)

    return run
