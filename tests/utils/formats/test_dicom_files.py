from __future__ import annotations

import numpy as np
import pytest
from dicom_data import new_file, write_series
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from semicl_monai.utils import InputError
from semicl_monai.utils.formats import find_series, left_out_line, open_volume

VOXELS = np.random.default_rng(0).integers(0, 99, (3, 4, 3))
AFFINE = np.diag([-1.0, -1, 2, 1])


def cases(root):
    return {series.case: series.image.relative_to(root).as_posix() for series in find_series(root)[0]}


def test_each_folder_of_a_tree_is_a_case_named_by_its_place(tmp_path):
    for place in ("p1/ct", "p2/ct", "p2/late/ct"):
        write_series(tmp_path / place, VOXELS, AFFINE)
    assert cases(tmp_path) == {"p1_ct": "p1/ct", "p2_ct": "p2/ct", "p2_late_ct": "p2/late/ct"}
    assert cases(tmp_path / "p1/ct") == {"ct": "."}


def test_series_of_one_folder_are_named_by_their_numbers(tmp_path):
    for number in (2, 12):
        write_series(tmp_path / "p1", VOXELS, AFFINE, SeriesNumber=number)
        for file in (tmp_path / "p1").glob("IM*"):
            file.rename(file.with_name(f"{number}_{file.name}"))
    assert cases(tmp_path) == {"p1_2": "p1/2_IM000.dcm", "p1_12": "p1/12_IM000.dcm"}


def test_series_of_several_patients_in_one_folder_are_named_by_the_patient(tmp_path):
    for patient in ("A 1", "B/2"):
        write_series(tmp_path, VOXELS, AFFINE, PatientID=patient)
        for file in tmp_path.glob("IM*"):
            file.rename(file.with_name(f"{patient[0]}_{file.name}"))
    assert cases(tmp_path) == {"A-1_3": "A_IM000.dcm", "B-2_3": "B_IM000.dcm"}
    assert [series.patient for series in find_series(tmp_path)[0]] == ["A 1", "B/2"]


def test_series_with_equal_numbers_have_names_that_differ_and_stay(tmp_path):
    for uid in ("1.2.3", "1.2.4"):
        write_series(tmp_path, VOXELS, AFFINE, uid=uid)
        for file in tmp_path.glob("IM*"):
            file.rename(file.with_name(f"{uid}_{file.name}"))
    names = cases(tmp_path)
    assert len(names) == 2
    assert cases(tmp_path) == names


def test_what_is_no_volume_is_left_out_and_counted(tmp_path):
    write_series(tmp_path, VOXELS, AFFINE, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "ct", VOXELS, AFFINE)
    capture = new_file(SecondaryCaptureImageStorage, generate_uid(), generate_uid(), generate_uid())
    capture.Rows = capture.Columns = 2
    capture.save_as(tmp_path / "ct/capture", enforce_file_format=True)
    for name in ("SEG", "RTSTRUCT", "SR"):
        other = new_file("1.2.840.10008.5.1.4.1.1.66.4", generate_uid(), generate_uid(), generate_uid())
        other.Modality = name
        other.save_as(tmp_path / f"ct/{name}.dcm", enforce_file_format=True)
    (tmp_path / "ct/notes.txt").write_text("no DICOM")
    series, left_out = find_series(tmp_path)
    assert [each.case for each in series] == ["ct"]
    assert left_out_line(left_out) == (
        "left out of the DICOM files, as they are no volumes: 3 localizer(s), 1 object(s) RTSTRUCT, 1 object(s) SEG, "
        "1 object(s) SR, 1 secondary capture(s)."
    )
    assert left_out_line([]) == ""


def test_a_broken_file_is_named_and_its_series_is_refused(tmp_path):
    write_series(tmp_path / "ct", VOXELS, AFFINE)
    (tmp_path / "ct/IM001.dcm").write_bytes(bytes(128) + b"DICM" + bytes(range(200)))
    series, left_out = find_series(tmp_path)
    assert [each.case for each in series] == ["ct"]
    assert (
        left_out_line(left_out) == "left out of the DICOM files, as they are no volumes: 1 broken file(s) (IM001.dcm)."
    )
    with pytest.raises(InputError, match=r"must be a DICOM series without broken files, got broken file IM001\.dcm"):
        open_volume(tmp_path / "ct")


def test_a_link_to_a_folder_is_followed_and_a_loop_is_not(tmp_path):
    write_series(tmp_path / "elsewhere/ct", VOXELS, AFFINE)
    (tmp_path / "root").mkdir()
    (tmp_path / "root/p1").symlink_to(tmp_path / "elsewhere/ct")
    (tmp_path / "root/loop").symlink_to(tmp_path / "root")
    assert cases(tmp_path / "root") == {"p1": "p1"}
