"""Data is made when it is first needed."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semicl_monai.benchmarks import ROWS, Build, Inputs, inputs
from semicl_monai.benchmarks.builds import CLONE
from semicl_monai.benchmarks.measurement import PROBES
from semicl_monai.data import SegmentationDatalist
from semicl_monai.utils import InputError

OLD = Build("old", CLONE, "1")


@pytest.mark.parametrize("option", ["dataset_dir", "cardiac_dir", "weights", "image"])
def test_a_missing_file_is_refused_before_anything_runs(tmp_path, option):
    with pytest.raises(InputError, match=rf"^{option} .*nothing does not exist\.$"):
        Inputs(tmp_path, OLD, **{option: str(tmp_path / "nothing")})


def test_every_row_names_probes_that_exist_and_what_is_given_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "LARGE", (8, 8, 8))
    (tmp_path / "scan.nii.gz").touch()
    given = dict.fromkeys(("dataset_dir", "cardiac_dir", "weights"), str(tmp_path))
    found = Inputs(tmp_path, OLD, image=str(tmp_path / "scan.nii.gz"), **given)
    measurements = [each for row in ROWS.values() for each in row(found)]
    assert all((PROBES / f"{each.probe}.py").is_file() for each in measurements)
    folders = {each.options["dataset_dir"] for each in measurements if "dataset_dir" in each.options}
    assert folders == {str(tmp_path), found.images}
    assert (Path(found.images) / "scan.nii.gz").resolve() == tmp_path / "scan.nii.gz"


def test_made_data_is_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setattr(inputs, "SCAN", (8, 8, 8))
    monkeypatch.setattr(inputs, "CASES", 5)
    found = Inputs(tmp_path, OLD)
    assert len(SegmentationDatalist(found.hippocampus).labelled) == 3
    assert [file.name for file in Path(found.images).iterdir()] == ["noise.nii.gz"]
    assert Path(found.weights).is_file()
    label = nib.load(SegmentationDatalist(found.cardiac).labelled[0]["label"])
    assert label.shape[:2] == (256, 224)
    assert np.unique(label.dataobj).tolist() == [0, 1, 2]
