"""The fine-tuned network in other formats: the commands that export it, and inference with the exported network.

The commands are those of the README, on the network as the bundle ships it. Exported networks add up in another order:
TorchScript has PyTorch's own instance norm, inference has the one for channels last, and ONNX Runtime has its own
operations. Probabilities differed by up to 2.4e-5 in TorchScript (4 networks) and by up to 3.3e-5 in ONNX Runtime (40
networks, trained for 10 to 60 iterations on synthetic or on real volumes). A voxel where two classes tie may therefore
change. In ONNX Runtime it did in one of the 40 masks, and there in one voxel of 13 110.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from semicl_monai.networks import load_network

DATA = Path(os.environ.get("SEMICL_TEST_DATA", Path(__file__).parents[3] / "shared/data/Task04_Hippocampus"))
COMMANDS = {"torchscript": "ckpt_export", "onnx": "onnx_export"}
TIES = 1e-4  # how much probabilities may differ, and the share of voxels whose class may then differ


class OnnxNetwork(nn.Module):
    """A network of ONNX Runtime; a module, because the evaluator switches its network to evaluation."""

    def __init__(self, path):
        super().__init__()
        runtime = pytest.importorskip("onnxruntime")
        self.session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

    def forward(self, images):
        (output,) = self.session.run(["pred"], {"image": images.numpy()})
        return torch.from_numpy(output)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """Return a folder for what both formats share: the network trained on a data set."""
    folder = tmp_path_factory.mktemp("trained")
    return lambda data: folder / data


@pytest.fixture
def features(config):
    """Return the features of the network as it is shipped: the commands override nothing."""
    return json.loads(config("inference").read_text())["network_def"]["features"]


@pytest.fixture
def train(run_stage, folder_of, features):
    """Return the weights after a second of fine-tuning."""

    def weights(data, **where):
        file = folder_of(data) / "models/model.pt"
        if not file.is_file():
            few = {"iterations_per_epoch": 20, "learning_rate": 0.01, "pretrained": "none", "validation": "none"}
            size = {"roi_size": [64, 64], "network_def::features": features}
            run_stage("train", output_dir=str(folder_of(data)), **few, **size, **where)
        return file

    return weights


@pytest.fixture
def options(config, tmp_path):
    """Return the options of the command that exports weights to a format."""

    def of(kind, weights):
        given = {
            "net_id": "network_def",
            "filepath": str(tmp_path / f"model.{kind}"),
            "ckpt_file": str(weights),
            "meta_file": str(config("metadata")),
            "config_file": str(config("inference")),
        }
        if kind == "torchscript":
            return given
        converter = {
            "dynamo": True,  # the default since torch 2.9
            "external_data": False,  # else torch leaves a copy of the weights in the folder of temporary files
            "input_names": ["image"],
            "output_names": ["pred"],
            "dynamic_shapes": [{0: "batch"}],  # the inferer gives 16 slices at a time, and at last what is left
        }
        # Only with use_trace does MONAI hand what it does not know of converter_kwargs on to torch.
        return {**given, "use_trace": True, "input_shape": [2, 1, 64, 64], "converter_kwargs": converter}

    return of


@pytest.fixture
def segment(run_stage, tmp_path):
    """Return the mask the bundle's inference writes for a volume, with its own or another network."""

    def mask(volume, name, **network):
        folder = tmp_path / name
        run_stage("inference", dataset_dir=str(volume), log_dir=str(folder), roi_size=[64, 64], **network)
        (written,) = folder.glob("*_seg.nii.gz")
        return np.asarray(nib.load(written).dataobj)

    return mask


@pytest.fixture
def trained(config):
    """Return the network of inference with trained weights."""

    def network(weights):
        parser = ConfigParser(ConfigParser.load_config_file(config("inference")) | {"device": "cpu"})
        return load_network(parser.get_parsed_content("network"), weights).eval()

    return network


def exported_network(kind, file):
    return torch.jit.load(str(file)) if kind == "torchscript" else OnnxNetwork(file)


@pytest.fixture
def assert_the_same_mask(segment, features, trained, tmp_path):
    """Compare inference by the network with ``weights`` and by the exported one in its place."""

    def compare(kind, weights, volume):
        exported = tmp_path / f"model.{kind}"
        # As the zoo's CONTRIBUTING.md has it: the file in place of the network, and no weights loaded afterwards.
        in_place = {
            "torchscript": lambda: {"network_def": f"$torch.jit.load({str(exported)!r})"},
            "onnx": lambda: {"network": OnnxNetwork(exported)},
        }
        images = torch.rand(2, 1, 64, 64)
        with torch.no_grad():
            networks = trained(weights), exported_network(kind, exported)
            ours, theirs = (network(images).softmax(1) for network in networks)
        torch.testing.assert_close(theirs, ours, rtol=0, atol=TIES)
        expected = segment(volume, "expected", weights=str(weights), **{"network_def::features": features})
        mask = segment(volume, kind, initialize=[], **in_place[kind]())
        assert len(np.unique(expected)) > 1
        assert (mask != expected).mean() <= TIES

    return compare


@pytest.fixture(params=COMMANDS)
def kind(request):
    if request.param == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package, reason=f"{package} is in the extra 'export'")
    return request.param


@pytest.mark.slow
def test_the_command_exports_a_network_that_gives_the_same_mask(
    train, options, assert_the_same_mask, dataset_dir, tmp_path, kind
):
    weights = train("synthetic")
    given = [f"--{name}={value}" for name, value in options(kind, weights).items()]
    subprocess.run([sys.executable, "-m", "monai.bundle", COMMANDS[kind], *given], cwd=tmp_path, check=True)
    (volume,) = (dataset_dir / "imagesTs").glob("*.nii.gz")
    assert_the_same_mask(kind, weights, volume)


@pytest.mark.skipif(not (DATA / "dataset.json").is_file(), reason=f"no real volumes at {DATA} (SEMICL_TEST_DATA)")
def test_the_exported_network_gives_the_same_mask_of_a_real_volume(
    train, options, assert_the_same_mask, tmp_path, kind
):
    cases = sorted(path.name.removesuffix(".nii.gz") for path in (DATA / "imagesTr").glob("*.nii.gz"))[:4]
    split = {"labelled": cases[:2], "unlabelled": [], "validation": cases[2:3], "test": cases[3:]}
    (tmp_path / "split.json").write_text(json.dumps(split))
    weights = train("real", dataset_dir=str(DATA), split_file=str(tmp_path / "split.json"))
    getattr(monai.bundle, COMMANDS[kind])(**options(kind, weights))
    assert_the_same_mask(kind, weights, DATA / "imagesTr" / f"{cases[3]}.nii.gz")
