from __future__ import annotations

import os

import pytest

from semicl_monai.data import MMWHS_CLASSES, MMWHS_VALUES, mmwhs_sections
from semicl_monai.utils import InputError


def touch(root, *files):
    """Make empty files: whoever opens one of them finds no NIfTI in it."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def scan(part, number, kind, suffix=".nii.gz"):
    return f"{part}/{part}_{number}_{kind}{suffix}"


def labelled(part, *numbers):
    return [scan(part, number, kind) for number in numbers for kind in ("image", "label")]


def cases(records):
    return [record["case"] for record in records]


@pytest.fixture
def root(tmp_path):
    """Both modalities as they are downloaded, of which MR has fewer volumes."""
    touch(tmp_path, *labelled("ct_train", 1002, 1001), scan("ct_test", 2002, "image"), scan("ct_test", 2001, "image"))
    return touch(tmp_path, *labelled("mr_train", 1001), scan("mr_test", 2001, "image"))


def test_each_class_has_the_value_of_the_challenge():
    assert dict(zip(MMWHS_CLASSES, MMWHS_VALUES, strict=True)) == {
        "Left ventricle": 500,
        "Right ventricle": 600,
        "Left atrium": 420,
        "Right atrium": 550,
        "Myocardium": 205,
        "Ascending aorta": 820,
        "Pulmonary artery": 850,
    }


def test_the_training_folder_gives_labelled_records_and_the_test_folder_unlabelled_ones(root):
    assert mmwhs_sections(root, "mr") == {
        "training": [
            {
                "image": str(root / "mr_train" / "mr_train_1001_image.nii.gz"),
                "label": str(root / "mr_train" / "mr_train_1001_label.nii.gz"),
                "case": "mr_train_1001",
            }
        ],
        "unlabelled": [{"image": str(root / "mr_test" / "mr_test_2001_image.nii.gz"), "case": "mr_test_2001"}],
        "validation": [],
        "test": [],
    }


def test_records_are_sorted_by_case_and_of_one_modality(root):
    sections = mmwhs_sections(root, "ct")
    assert cases(sections["training"]) == ["ct_train_1001", "ct_train_1002"]
    assert cases(sections["unlabelled"]) == ["ct_test_2001", "ct_test_2002"]


def test_records_of_two_folders_are_sorted_together(tmp_path):
    touch(
        tmp_path,
        scan("CT_TRAIN", 1003, "image"),
        *labelled("ct_train", 1001, 1004),
        "a/ct_train/ct_train_1002_image.nii",
    )
    assert cases(mmwhs_sections(tmp_path, "ct")["training"]) == [f"ct_train_100{n}" for n in (1, 2, 3, 4)]


def test_paths_are_absolute(root, monkeypatch):
    monkeypatch.chdir(root.parent)
    assert mmwhs_sections(root.name, "CT") == mmwhs_sections(root, "ct")


def test_a_training_image_without_a_label_stays_a_training_image(root):
    (root / scan("ct_train", 1002, "label")).unlink()
    last = mmwhs_sections(root, "ct")["training"][-1]
    assert last == {"image": str(root / scan("ct_train", 1002, "image")), "case": "ct_train_1002"}


def test_a_label_beside_a_test_image_is_ignored_with_or_without_its_image(root):
    before = mmwhs_sections(root, "ct")
    touch(root, scan("ct_test", 2001, "label"), scan("ct_test", 2003, "label"))
    assert mmwhs_sections(root, "ct") == before
    assert all("label" not in record for record in before["unlabelled"])


def test_folders_and_files_in_upper_case_and_without_gz_are_found(tmp_path):
    touch(tmp_path, "CT_TRAIN/CT_TRAIN_1001_IMAGE.NII", "CT_TRAIN/ct_train_1001_Label.nii.GZ")
    touch(tmp_path, "Ct_test/ct_test_2001_image.nii")
    sections = mmwhs_sections(tmp_path, "ct")
    assert sections["training"] == [
        {
            "image": str(tmp_path / "CT_TRAIN" / "CT_TRAIN_1001_IMAGE.NII"),
            "label": str(tmp_path / "CT_TRAIN" / "ct_train_1001_Label.nii.GZ"),
            "case": "ct_train_1001",
        }
    ]
    assert cases(sections["unlabelled"]) == ["ct_test_2001"]


def test_the_folders_may_lie_one_level_down_but_not_two_and_not_in_a_hidden_folder(tmp_path):
    touch(tmp_path / "MMWHS", *labelled("ct_train", 1001))
    touch(tmp_path / "more", scan("ct_test", 2001, "image"))
    touch(tmp_path / "a" / "b", scan("ct_test", 2002, "image"))
    touch(tmp_path / ".draft", scan("ct_test", 2003, "image"))
    sections = mmwhs_sections(tmp_path, "ct")
    assert cases(sections["training"]) == ["ct_train_1001"]
    assert cases(sections["unlabelled"]) == ["ct_test_2001"]


def test_files_of_another_name_are_left_out(root):
    before = mmwhs_sections(root, "ct")
    touch(root, "ct_train/readme.txt", "ct_train/._ct_train_1001_image.nii.gz", "ct_train/ct_train_1001_image_1mm.nii")
    touch(root, "ct_train/ct_train_1001_image.nii.gz.part")
    touch(root, "ct_train/mr_train_1005_image.nii.gz", "ct_test/ct_test_2001_label_encrypt_1mm.nii.gz")
    assert mmwhs_sections(root, "ct") == before


def test_only_test_images_are_enough(tmp_path):
    touch(tmp_path, scan("mr_test", 2001, "image"))
    assert mmwhs_sections(tmp_path, "mr")["training"] == []


@pytest.mark.parametrize("folder", ["empty", "nowhere", "file", ""])
def test_without_data_the_error_tells_where_it_comes_from_and_how_it_must_lie(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty" / "mr_train").mkdir(parents=True)
    (tmp_path / "file").touch()
    wanted = rf"no MM-WHS mr images in {tmp_path}.*mr_train/mr_train_1001_image\.nii\.gz .*mr_test_2001_image"
    with pytest.raises(InputError, match=wanted) as raised:
        mmwhs_sections(folder, "mr")
    assert "register at https://zmiclab.github.io/zxh/0/mmwhs/" in str(raised.value)
    assert "this project cannot download the data" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_modality_is_refused(root):
    with pytest.raises(InputError, match="modality must be one of ct, mr, got 'mri'"):
        mmwhs_sections(root, "mri")


@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_case_that_is_there_twice_is_refused(root, kind):
    touch(root, scan("ct_train", 1001, kind, ".nii"))
    with pytest.raises(InputError, match=rf"case ct_train_1001: wanted one {kind} file, got .*\.nii and .*\.nii\.gz"):
        mmwhs_sections(root, "ct")


def test_a_case_that_is_in_two_folders_is_refused(root):
    touch(root / "copy", scan("ct_test", 2001, "image"))
    with pytest.raises(InputError, match=r"case ct_test_2001: wanted one image file, got .*ct_test.* and .*copy"):
        mmwhs_sections(root, "ct")


def test_a_label_without_its_image_is_refused(root):
    (root / scan("ct_train", 1001, "image")).unlink()
    with pytest.raises(InputError, match=r"case ct_train_1001: wanted an image beside its label .*label\.nii\.gz"):
        mmwhs_sections(root, "ct")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="whoever is root may read every folder")
def test_a_folder_that_cannot_be_read_is_refused(root):
    (root / "ct_train").chmod(0)
    try:
        with pytest.raises(InputError, match=r"the folder .*ct_train cannot be read: Permission denied"):
            mmwhs_sections(root, "ct")
    finally:
        (root / "ct_train").chmod(0o755)
