from __future__ import annotations

import sys

import nibabel as nib
import numpy as np
import pytest
from dicom_data import write_series

from semicl_monai.data.pairing import find_pairs
from semicl_monai.utils import InputError
from semicl_monai.utils.formats import open_volume

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
VOXELS = np.arange(60).reshape(4, 5, 3)


def series(folder, **tags):
    return write_series(folder, VOXELS, AFFINE, **tags)


def segmentation(image, file):
    """Write a DICOM SEG of a series."""
    file.parent.mkdir(parents=True, exist_ok=True)
    volume = open_volume(image)
    mask = (VOXELS % 2).astype(np.uint8)
    volume.write_mask(file, mask, volume.affine, {"filename_or_obj": str(image)}, {1: "liver"})


def found(*places):
    pairing, _ = find_pairs(*map(str, places))
    return {
        case.case: (case.images[0].file, case.label.file if case.label else None, case.patient)
        for case in pairing.cases
    }


def test_a_seg_goes_to_the_series_that_it_names_whatever_the_folders(tmp_path):
    images = [series(tmp_path / f"scans/p{number}/a", PatientID=f"p{number}") for number in (1, 2, 3)]
    segmentation(images[0], tmp_path / "masks/third.dcm")
    segmentation(images[2], tmp_path / "masks/first.dcm")
    wanted = {
        "p1_a": (str(images[0]), str(tmp_path / "masks/third.dcm"), ""),
        "p2_a": (str(images[1]), None, ""),
        "p3_a": (str(images[2]), str(tmp_path / "masks/first.dcm"), ""),
    }
    assert found(tmp_path / "scans", tmp_path / "masks") == wanted
    inside = found(tmp_path)
    assert {case.removeprefix("scans_"): files for case, files in inside.items()} == wanted


def test_series_of_one_patient_stay_together(tmp_path):
    images = {
        (number, scan): series(tmp_path / f"{number}{scan}", PatientID=f"patient {number}")
        for number in (1, 2, 3)
        for scan in "ab"
    }
    segmentation(images[1, "a"], tmp_path / "seg" / "1.dcm")
    assert {case: patient for case, (_, _, patient) in found(tmp_path).items()} == {
        f"{number}{scan}": f"patient {number}" for number, scan in images
    }


def test_labels_in_nifti_go_by_the_folders_of_the_series(tmp_path):
    for number in (1, 2):
        series(tmp_path / f"dicom/p{number}/CT")
        (tmp_path / "labels").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(VOXELS.astype(np.uint8), AFFINE), tmp_path / f"labels/p{number}.nii.gz")
    pairs = found(tmp_path / "dicom", tmp_path / "labels")
    assert {case: files[1] for case, files in pairs.items()} == {
        f"p{number}_CT": str(tmp_path / f"labels/p{number}.nii.gz") for number in (1, 2)
    }
    assert found(tmp_path).keys() == {"dicom_p1_CT", "dicom_p2_CT"}


def test_a_pattern_of_folders_or_of_slices_finds_series(tmp_path):
    for number in (1, 2):
        segmentation(series(tmp_path / f"p{number}/ct"), tmp_path / f"p{number}/seg/s.dcm")
        series(tmp_path / f"p{number}/other")
    for pattern in ("*/ct", "*/ct/*.dcm"):
        assert {files[0] for files in found(tmp_path / pattern, tmp_path / "*/seg").values()} == {
            str(tmp_path / f"p{number}/ct") for number in (1, 2)
        }


def test_without_pydicom_files_in_nifti_are_paired_and_the_others_are_told(tmp_path, monkeypatch):
    series(tmp_path / "dicom")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(
        InputError, match=r"no image found; left out as DICOM: .* needs pydicom: pip install pydicom highdicom"
    ):
        find_pairs(str(tmp_path))
    for name in ("a.nii", "a_seg.nii"):
        (tmp_path / name).touch()
    pairing, _ = find_pairs(str(tmp_path))
    assert len(pairing.cases) == 1
    assert pairing.left_out[0].startswith("DICOM: ")


def test_structure_sets_are_named_where_no_label_is_found(tmp_path):
    series(tmp_path / "ct")
    series(tmp_path / "rt", Modality="RTSTRUCT")
    with pytest.raises(InputError, match=r"no label found .*; left out as DICOM files, .*: 3 object\(s\) RTSTRUCT\."):
        find_pairs(str(tmp_path))


def test_series_of_another_modality_or_sequence_are_left_out_and_said(tmp_path):
    types = {"a": ("MR", "t2_tse_tra"), "b": ("MR", "T1 vibe"), "c": ("PT", "AC"), "d": ("MR", "ax T2")}
    for number in (1, 2, 3):
        for name, (modality, description) in types.items():
            series(
                tmp_path / f"p{number}/{name}", PatientID=f"p{number}", Modality=modality, SeriesDescription=description
            )
        segmentation(tmp_path / f"p{number}/a", tmp_path / f"p{number}/seg.dcm")
    pairing, _ = find_pairs(str(tmp_path))
    assert [case.case for case in pairing.cases if case.label is None] == ["p1_d", "p2_d", "p3_d"]
    (line,) = pairing.left_out
    assert line.startswith("another sequence than the images with a label: p1/b, p1/c, p2/b, p2/c")


def test_a_question_about_series_tells_what_they_are(tmp_path):
    for name, modality in (("x", "MR"), ("y", "PT")):
        series(tmp_path / f"p1/{name}", PatientID="p1", Modality=modality, SeriesDescription="t2")
    (tmp_path / "p1/lesion.seg.nrrd").touch()
    series(tmp_path / "p2", PatientID="p2")
    with pytest.raises(InputError, match=r"fits 2 images, p1/x \(MR t2\), p1/y \(PT t2\), whose names do not tell"):
        find_pairs(str(tmp_path))


def test_folders_of_series_may_have_any_names_where_each_label_has_one_series(tmp_path):
    for number in (1, 2, 3):
        series(tmp_path / f"dicom/PAT{number:03}/ST0/1.3.{7 * number}.{number**2}", PatientID=f"P{number}")
        (tmp_path / f"PAT{number:03}.seg.nrrd").touch()
    pairing, _ = find_pairs(str(tmp_path))
    assert [case.label.parts[-1] for case in pairing.cases] == ["PAT001", "PAT002", "PAT003"]
    assert all(f"/{case.label.parts[-1]}/" in case.images[0].file for case in pairing.cases)
