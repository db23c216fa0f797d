from __future__ import annotations

import sys

import numpy as np
import pytest
from dicom_data import write_series

from semicl_monai.data import case_name, list_images
from semicl_monai.data.images import case_of, check_repeated_cases
from semicl_monai.transforms import LoadCased
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
def test_a_place_without_images_is_refused(tmp_path, name):
    touch(tmp_path, "image.png")
    with pytest.raises(InputError, match=r"no image found in .*: wanted NIfTI"):
        list_images(tmp_path / name)


def test_images_below_the_folder_are_named_with_a_pattern(tmp_path):
    (tmp_path / "p1").mkdir()
    touch(tmp_path / "p1", "t1.nii")
    with pytest.raises(InputError, match=r"no image found .*; the folders below hold images, such as p1/t1\.nii: "):
        list_images(tmp_path)


def test_a_pattern_lists_images_of_all_folders_below(tmp_path):
    for patient in ("p1", "p2"):
        (tmp_path / patient / "anat").mkdir(parents=True)
        touch(tmp_path / patient / "anat", f"{patient}_T1w.nii.gz", f"{patient}_T2w.nii.gz", "ct.nii", "ct.json")
    assert list_images(f"{tmp_path}/**/*_T1w.nii.gz") == [
        {"image": str(tmp_path / f"{patient}/anat/{patient}_T1w.nii.gz"), "case": f"{patient}_T1w"}
        for patient in ("p1", "p2")
    ]
    assert cases_of(f"{tmp_path}/*/anat/ct.*") == {
        patient: str(tmp_path / f"{patient}/anat/ct.nii") for patient in ("p1", "p2")
    }
    with pytest.raises(InputError, match=r"no image found in .*\*\.mha: wanted NIfTI"):
        list_images(f"{tmp_path}/**/*.mha")


def test_two_images_of_one_case_are_refused(tmp_path):
    touch(tmp_path, "a.nii", "a.nii.gz")
    with pytest.raises(InputError, match=r"got 'a' for .*a\.nii and .*a\.nii\.gz"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    ("files", "case"),
    [
        (["x/a_0000.nii.gz", "x/a_0001.nii.gz"], "a"),
        (["a_t1.nii", "a_t2.nii"], "a_t1"),
        (("a_0001.nii", "a_0000.nii"), "a_0001"),
        (["a_0000.nii.gz"], "a"),
    ],
)
def test_a_case_in_several_files_is_named_like_the_first_without_channel_0(files, case):
    assert case_name(files) == case


def test_a_case_in_one_file_keeps_its_number():
    assert case_name("a_0000.nii.gz") == "a_0000"


def test_files_named_by_channel_are_one_image_a_case(tmp_path):
    touch(tmp_path, *(f"{case}_{channel:04d}.nii.gz" for case in "ba" for channel in (1, 0)))
    assert list_images(tmp_path, in_channels=2) == [
        {"image": [str(tmp_path / f"{case}_{channel:04d}.nii.gz") for channel in (0, 1)], "case": case} for case in "ab"
    ]


def test_of_one_channel_the_image_is_its_file(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "b_0000.nii")
    assert list_images(tmp_path) == [
        {"image": str(tmp_path / "a_0000.nii.gz"), "case": "a"},
        {"image": str(tmp_path / "b_0000.nii"), "case": "b"},
    ]


@pytest.mark.parametrize("names", [["a_0000.nii.gz", "b.nii.gz"], ["a_0000.nii.gz", "a_0002.nii.gz"], ["a_000.nii.gz"]])
def test_where_a_file_is_not_named_by_a_channel_each_is_an_image(tmp_path, names):
    touch(tmp_path, *names)
    found = list_images(tmp_path, in_channels=2)
    assert [record["image"] for record in found] == [str(tmp_path / name) for name in names]
    assert [record["case"] for record in found] == [name.removesuffix(".nii.gz") for name in names]


def test_a_missing_channel_is_refused(tmp_path):
    touch(tmp_path, "a_0000.nii", "a_0001.nii", "b_0001.nii")
    with pytest.raises(InputError, match="case b: wanted the channels 0000 to 0001, got 0001"):
        list_images(tmp_path, in_channels=2)


def test_a_channel_that_is_there_twice_is_refused(tmp_path):
    touch(tmp_path, "a_0000.nii", "a_0000.nii.gz")
    with pytest.raises(InputError, match=r"got 'a_0000' for .*a_0000\.nii and .*a_0000\.nii\.gz"):
        list_images(tmp_path)


def test_two_images_in_files_a_channel_of_one_case_are_refused(tmp_path):
    records = [{"image": [f"{folder}/a_0000.nii", f"{folder}/a_0001.nii"], "case": "a"} for folder in "xy"]
    with pytest.raises(InputError, match=r"got 'a' for x/a_0000\.nii and y/a_0000\.nii"):
        check_repeated_cases(records)


def cases_of(folder, **options):
    return {record["case"]: record["image"] for record in list_images(folder, **options)}


def test_one_channel_of_nnunet_is_its_case_beside_files_of_other_names(tmp_path):
    touch(tmp_path, "b.nii.gz", "c00_0000.nii.gz", "a_0000.nii")
    names = {"a": "a_0000.nii", "b": "b.nii.gz", "c00": "c00_0000.nii.gz"}
    assert cases_of(tmp_path) == {case: str(tmp_path / name) for case, name in names.items()}
    assert list(cases_of(tmp_path)) == ["a", "b", "c00"]


def test_all_channels_of_nnunet_are_one_case_beside_files_of_other_names(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b.nii.gz", "c_0001.nii.gz")
    assert cases_of(tmp_path, in_channels=2) == {
        "a": [str(tmp_path / f"a_000{number}.nii.gz") for number in (0, 1)],
        "b": str(tmp_path / "b.nii.gz"),
        "c_0001": str(tmp_path / "c_0001.nii.gz"),
    }


def test_scans_that_are_numbered_keep_their_numbers(tmp_path):
    touch(tmp_path, *(f"scan_{number:04d}.nii.gz" for number in range(3)))
    assert list(cases_of(tmp_path)) == ["scan_0000", "scan_0001", "scan_0002"]


def test_an_image_of_nnunet_beside_one_of_its_case_name_is_refused(tmp_path):
    touch(tmp_path, "a_0000.nii.gz", "a.nii.gz")
    with pytest.raises(InputError, match=r"got 'a' for .*a\.nii\.gz and .*a_0000\.nii\.gz"):
        list_images(tmp_path)


def test_a_record_without_a_case_is_named_by_its_image():
    assert case_of({"image": "x/a.nii.gz"}) == "a"
    assert case_of({"image": ["x/a_0000.nii.gz", "x/a_0001.nii.gz"], "case": "b"}) == "b"


def test_an_image_in_capitals_is_listed_and_refused_when_it_is_loaded(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.NII.GZ")
    records = list_images(tmp_path)
    assert [record["case"] for record in records] == ["a", "b.NII.GZ"]
    with pytest.raises(InputError, match=r"b\.NII\.GZ must be NIfTI \(\.nii, \.nii\.gz\), .* in small letters"):
        LoadCased("image", num_classes=2)(records[1])


def test_images_of_other_formats_beside_those_that_are_read_are_named(tmp_path, caplog):
    touch(tmp_path, "a.nii.gz", "b.mgz", "c.mnc", "notes.txt", ".hidden.mgz", "d.seg.nrrd")
    assert [record["case"] for record in list_images(tmp_path)] == ["a"]
    other, segmentation = caplog.messages
    assert other.startswith("left out, as their format is not read: b.mgz, c.mnc; wanted NIfTI")
    assert segmentation == "left out, as they are segmentations: d.seg.nrrd."


def test_images_of_all_formats_are_listed_together(tmp_path):
    touch(tmp_path, "a.nii.gz", "b.nrrd", "c.nhdr", "d.mha", "e.mhd", "c.raw", "e.zraw")
    assert [record["case"] for record in list_images(tmp_path)] == list("abcde")


def test_series_are_listed_with_the_files_of_a_folder(tmp_path, caplog):
    touch(tmp_path, "a.nii.gz")
    write_series(tmp_path / "p1/ct", np.ones((3, 4, 3), int), np.eye(4))
    write_series(tmp_path / "p1/scout", np.ones((3, 4, 3), int), np.eye(4), ImageType=["ORIGINAL", "PRIMARY", "SCOUT"])
    assert list_images(tmp_path) == [
        {"image": str(tmp_path / "a.nii.gz"), "case": "a"},
        {"image": str(tmp_path / "p1/ct"), "case": "p1_ct"},
    ]
    assert caplog.messages == ["left out of the DICOM files, as they are no volumes: 3 localizer(s)."]
    assert list_images(tmp_path / "p1/ct") == [{"image": str(tmp_path / "p1/ct"), "case": "ct"}]
    file = str(tmp_path / "p1/ct/IM001.dcm")
    assert list_images(file) == [{"image": file, "case": "IM001"}]


def test_without_pydicom_series_are_left_out_beside_other_images_and_refused_alone(tmp_path, caplog, monkeypatch):
    series = write_series(tmp_path / "ct", np.ones((3, 4, 3), int), np.eye(4))
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(InputError, match=rf"{series} is DICOM, which needs pydicom: pip install pydicom highdicom"):
        list_images(series)
    touch(tmp_path, "a.nii.gz")
    assert [record["case"] for record in list_images(tmp_path)] == ["a"]
    (line,) = caplog.messages
    assert "needs pydicom" in line
