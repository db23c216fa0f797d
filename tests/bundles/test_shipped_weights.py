"""Weights that are part of a bundle."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser
from own_bundles import build, run_to_end

from semicl_monai.networks import load_network, read_provenance

BUNDLE = Path(__file__).parents[2] / "bundles/hippocampus_mri_3d_segmentation"
LARGEST = 10 * 2**20  # bytes
WEIGHTS = {"model.pt": (6, 154, 0), "model_120_labels.pt": (120, 0, 0)}  # labelled, unlabelled, validation


@pytest.fixture(params=WEIGHTS)
def weights(request):
    return BUNDLE / "models" / request.param


def test_they_fit_the_network_and_are_small(weights):
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs/inference.json"))
    load_network(parser.get_parsed_content("network_def"), weights)
    assert weights.stat().st_size <= LARGEST


def test_they_tell_what_they_have_seen(weights):
    provenance = read_provenance(weights)
    assert provenance.classes == ("Anterior", "Posterior")
    assert (len(provenance.labelled), len(provenance.unlabelled), len(provenance.validation)) == WEIGHTS[weights.name]
    beside = json.loads(weights.with_suffix(".json").read_text())
    assert [case["case"] for case in beside["labelled"]] == [case["case"] for case in provenance.labelled]
    split = json.loads((BUNDLE.parents[1] / "docs/benchmark/splits/hippocampus_6_seed0.json").read_text())
    assert {case["case"] for case in provenance.labelled} >= set(split["labelled"])
    assert not {case["case"] for case in provenance.seen("labelled", "unlabelled")} & set(split["test"])


@pytest.mark.parametrize("options", [{}, {"weights": "models/model_120_labels.pt"}])
def test_inference_of_a_fresh_clone_needs_nothing_else(dataset_dir, tmp_path, options):
    image = sorted((dataset_dir / "imagesTs").iterdir())[0]
    clone = shutil.copytree(BUNDLE, tmp_path / "bundle", ignore=shutil.ignore_patterns("eval", "checkpoints*"))
    options = {name: str(clone / path) for name, path in options.items()}
    run_to_end(build(clone, "inference", dataset_dir=str(image), device="cpu", **options))
    (mask,) = (clone / "eval/predictions").iterdir()
    assert nib.load(mask).shape == nib.load(image).shape
    assert set(np.unique(nib.load(mask).dataobj)) <= {0, 1, 2}
