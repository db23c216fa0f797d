from __future__ import annotations

import json
from pathlib import Path

import pytest

from semicl_monai.data import read_description, read_label_rules
from semicl_monai.data.pairing import data_list, pair_files, read_name


def pairing(*files, root="/data/set"):
    names = [read_name(f"{root}/{file}", file) for file in files]
    return pair_files([name for name in names if not name.is_label], [name for name in names if name.is_label])


def test_cases_without_label_are_unlabelled_unless_they_lie_in_a_folder_for_tests():
    found = pairing("a.nii", "a_seg.nii", "b.nii", "test/c.nii", "test/d.nii", "test/d_seg.nii", "val/e.nii")
    assert data_list(found, Path("/data"), None, {}) == {
        "training": [{"image": "set/a.nii", "label": "set/a_seg.nii", "case": "a"}],
        "unlabelled": [{"image": "set/b.nii", "case": "b"}],
        "test": [
            {"image": "set/test/c.nii", "case": "c"},
            {"image": "set/test/d.nii", "label": "set/test/d_seg.nii", "case": "d"},
            {"image": "set/val/e.nii", "case": "e"},
        ],
    }


def test_channels_and_patients_are_named():
    files = [f"sub-{sub}/sub-{sub}_{end}.nii" for sub in (1, 2) for end in ("FLAIR", "T1w", "mask")]
    content = data_list(pairing(*files), Path("/data/set"), None, {2: "cyst"})
    assert content["modality"] == {"0": "FLAIR", "1": "T1w"}
    assert content["labels"] == {"0": "background", "2": "cyst"}
    assert content["training"][0] == {
        "image": ["sub-1/sub-1_FLAIR.nii", "sub-1/sub-1_T1w.nii"],
        "label": "sub-1/sub-1_mask.nii",
        "case": "sub-1",
        "patient": "sub-1",
    }


def test_a_file_called_ct_is_not_taken_for_hounsfield_units():
    found = pairing("p1/ct.nii", "p1/seg.nii", "p2/ct.nii")
    assert found.channels == ("ct",)
    assert "modality" not in data_list(found, Path("/data"), None, {})
    assert data_list(found, Path("/data"), "CT", {})["modality"] == {"0": "CT"}


@pytest.mark.parametrize(
    ("folder", "path"),
    [("/data/set", "a.nii"), ("/data/bundles", "../set/a.nii"), ("/home/me", "/data/set/a.nii")],
)
def test_paths_are_relative_where_both_share_a_folder(folder, path):
    (entry,) = data_list(pairing("a.nii", "a_seg.nii"), Path(folder), None, {})["training"]
    assert entry["image"] == path


def test_the_value_to_ignore_is_written_so_that_it_is_read_again(tmp_path):
    content = data_list(pairing("a.nii", "a_seg.nii"), Path("/data"), None, {1: "liver"}, ignore_value=2)
    (tmp_path / "list.json").write_text(json.dumps(content))
    assert read_description(tmp_path / "list.json")[1] == {1: "liver"}
    assert read_label_rules(tmp_path / "list.json").ignore_value == 2
