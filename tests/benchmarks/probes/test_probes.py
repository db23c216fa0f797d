"""Each probe runs with this build; how fast it is, is not a test."""

from __future__ import annotations

import subprocess

import nibabel as nib
import numpy as np
import pytest
import torch

from semicl_monai.apps.new_bundle import new_bundle as write_bundle
from semicl_monai.benchmarks import Build, Inputs, inputs
from semicl_monai.benchmarks.builds import CLONE
from semicl_monai.benchmarks.probes import (
    cache,
    drawing,
    inference,
    loss,
    new_bundle,
    program_help,
    recipe,
    training,
    validation,
)
from semicl_monai.benchmarks.probes.tools import SLICES, VOLUMES
from semicl_monai.losses import SupConLoss
from semicl_monai.synthetic import make_synthetic_hippocampus

FLAT = {"network_def::features": [4, 4, 8, 8, 8, 4], "roi_size": [32, 32], "device": "cpu"}
SOLID = {"network_def::filters": [4, 4, 8, 8], "roi_size": [16, 16, 16], "device": "cpu"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "hippocampus"
    return str(make_synthetic_hippocampus(folder, num_cases=10, num_test=1, spatial_size=(24, 30, 16)))


@pytest.mark.parametrize(("stage", "method"), [("pretrain", "simclr"), ("pretrain", "local"), ("train", "random")])
def test_a_step_and_the_bare_network(data, stage, method):
    found = training.measure(data, stage, method, steps=3, batch_size=2, samples_per_volume=1, **FLAT)
    assert found["bare / step"] == found["bare network s"] / found["step s"]
    assert all(number > 0 for number in found.values())


def test_the_recipe_is_extrapolated_to_the_defaults(data):
    found = recipe.measure(data, epochs=3, iterations=1, labelled=2, **SOLID)
    assert found["whole recipe CPU minutes"] > found["training CPU minutes"] > 0
    assert set(found) >= {"first epoch: step CPU s", "last epoch: step CPU s", "one validation CPU s"}


def test_the_whole_job_of_a_new_bundle_has_each_of_its_stages(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "SLICE", (112, 112))
    monkeypatch.setattr(subprocess, "run", run_here)
    cardiac = Inputs(tmp_path, Build("old", CLONE, "1")).cardiac
    found = new_bundle.measure(cardiac, steps=2, device="cpu", batch_size=1)
    stages = ("train 1",)  # the default method has no pre-training
    assert [name for name in found if name.endswith(": step s")] == [f"{stage}: step s" for stage in stages]
    assert found["whole job minutes"] > 0


def run_here(words, **_):
    command, name, *options = words[3:]
    assert command == "new_bundle"
    write_bundle(
        name, **{key.removeprefix("--"): value for key, value in zip(options[::2], options[1::2], strict=True)}
    )


def test_the_dense_formula_is_that_of_the_loss():
    generator = torch.Generator().manual_seed(0)
    input, target = torch.randn(60, 8, generator=generator), torch.randint(0, 3, (60,), generator=generator)
    ours = SupConLoss(temperature=loss.TEMPERATURE, background_index=0)(input, target)
    torch.testing.assert_close(ours, loss._dense(input, target))


def test_the_loss_is_compared_with_products_and_dense_formula(monkeypatch):
    monkeypatch.setattr(loss, "LARGEST", 1000)  # products in more than one tile
    found = loss.measure(pixels=256, channels=8, repeats=1)
    assert {"loss / four products", "dense formula / loss", "peak MiB", "CPU ns a pair"} <= set(found)
    alone = loss.measure(pixels=64, channels=8, repeats=0, dense=False)
    assert set(alone) == {"loss s", "loss CPU s", "CPU ns a pair", "peak MiB"}
    assert all(number > 0 for number in alone.values())


def test_an_image_is_segmented(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "SCAN", (20, 24, 20))
    made = Inputs(tmp_path, Build("old", CLONE, "1"))
    found = inference.measure(made.images, made.weights, str(tmp_path / "out"), device="cpu")
    assert found["windows"] >= 1
    assert found["peak MiB"] > 0
    assert len(list((tmp_path / "out").rglob("*.nii.gz"))) == 1


def test_a_validation_volume_has_windows(data):
    found = validation.measure(data, volumes=1, **SOLID)
    assert found["windows a volume"] >= 1


def test_all_arrays_of_a_sample_are_counted():
    class Kept:
        def __init__(self):
            self.voxels = np.zeros((5, 3), np.int32)

    sample = {"image": torch.zeros(2, 3), "label": torch.zeros(6, dtype=torch.uint8), "case": "a", "more": [Kept()]}
    assert cache.num_bytes(sample) == 2 * 3 * 4 + 6 + 5 * 3 * 4


def test_the_memory_of_a_volume_is_that_of_its_kept_tensors(data):
    assert cache.measure(data, bundle=SLICES, device="cpu")["MiB a volume"] > 0


@pytest.mark.parametrize(("bundle", "own"), [(SLICES, FLAT), (VOLUMES, SOLID)])
def test_drawing_is_a_part_of_a_sample(tmp_path, bundle, own):
    label = np.zeros((40, 40, 24), np.uint8)
    label[10:20, 10:20, 5:15] = 1
    files = {key: str(tmp_path / f"{key}.nii") for key in ("image", "label")}
    for file, volume in zip(files.values(), (label + 1.0, label), strict=True):
        nib.save(nib.Nifti1Image(volume, np.eye(4)), file)
    found = drawing.measure(**files, bundle=bundle, draws=3, **own)
    assert 0 < found["draw ms"] < found["sample ms"]


def test_the_help_of_the_program_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda words, **_: asked.append(words[1:]))
    assert set(program_help.measure(repeats=1)) == {"s", "CPU s"}
    assert asked == [["-m", "semicl_monai", "--help"]] * 2
