from __future__ import annotations

import pytest

from semicl_monai.data import case_name, list_images, studies_beside
from semicl_monai.utils import InputError


def touch(folder, *names):
    for name in names:
        (folder / name).touch()


def test_every_nifti_of_a_folder_is_listed_in_order_and_nothing_else(tmp_path):
    touch(tmp_path, "b.nii.gz", "a.nii", "notes.txt", "._a.nii.gz")
    (tmp_path / "below").mkdir()
    touch(tmp_path / "below", "c.nii.gz")
    assert list_images(tmp_path) == [
        {"image": str(tmp_path / "a.nii"), "case": "a"},
        {"image": str(tmp_path / "b.nii.gz"), "case": "b"},
    ]


def test_one_file_is_a_list_of_one(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.nii.gz")
    assert list_images(str(tmp_path / "b.nii.gz")) == [{"image": str(tmp_path / "b.nii.gz"), "case": "b"}]


def test_a_relative_folder_gives_absolute_paths(tmp_path, monkeypatch):
    touch(tmp_path, "a.nii.gz")
    monkeypatch.chdir(tmp_path)
    assert list_images(".")[0]["image"] == str(tmp_path / "a.nii.gz")


@pytest.mark.parametrize(
    ("file", "case"), [("x/a.b.nii.gz", "a.b"), ("a.nii", "a"), ("a.gz.nii", "a.gz"), ("nii.nii.gz", "nii")]
)
def test_a_case_is_the_file_name_without_the_nifti_suffix(file, case):
    assert case_name(file) == case


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no such folder or image file: .*nowhere"):
        list_images(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["", "image.png"])
def test_a_place_without_nifti_images_is_refused(tmp_path, name):
    touch(tmp_path, "image.png")
    with pytest.raises(InputError, match=r"no NIfTI image .* found in"):
        list_images(tmp_path / name)


def test_two_images_of_one_case_are_refused(tmp_path):
    touch(tmp_path, "a.nii", "a.nii.gz")
    with pytest.raises(InputError, match=r"got 'a' for .*a\.nii and .*a\.nii\.gz"):
        list_images(tmp_path)


def test_the_studies_beside_some_are_all_of_their_folders(tmp_path):
    touch(tmp_path, "b.nii.gz", "a.nii.gz", "c.nii")
    (tmp_path / "labels").mkdir()
    touch(tmp_path / "labels", "a.nii.gz")
    records = [{"image": str(tmp_path / name), "label": "anywhere"} for name in ("b.nii.gz", "c.nii")]
    assert studies_beside(records) == [
        {"image": str(tmp_path / name), "case": name[0]} for name in ("a.nii.gz", "b.nii.gz", "c.nii")
    ]


def test_without_a_study_there_is_no_folder_to_look_in():
    with pytest.raises(InputError, match="wanted at least one labelled study, got none"):
        studies_beside([])
