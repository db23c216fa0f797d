from __future__ import annotations

import pytest

from semicl_monai.data.pairing import read_name
from semicl_monai.data.pairing.cases import name_cases, name_patients


def read(*paths):
    return [[read_name(path, path)] for path in paths]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/a.nii", "y/b.nii.gz"], ["a", "b"]),
        (["k_1_0000.nii", "k_2_0000.nii"], ["k_1", "k_2"]),
        (["imagesTr/p1/t1.nii", "imagesTr/p2/t1.nii"], ["p1", "p2"]),
        (["p1/v1/t1.nii", "p1/v2/t1.nii", "p2/v1/t1.nii"], ["p1_v1", "p1_v2", "p2_v1"]),
        (["s1/a/a.nii", "s2/a/a.nii", "s2/b/b.nii"], ["s1_a", "s2_a", "s2_b"]),
        (["Patient 1/image.nii", "Patient 2/image.nii"], ["Patient 1", "Patient 2"]),
        (["a/image.nii", "image.nii"], ["a_image", "image"]),
    ],
)
def test_cases_are_named_by_their_files_or_by_what_differs_in_their_paths(paths, names):
    assert name_cases(read(*paths)) == names


def test_the_name_of_the_channel_is_left_out():
    files = [read_name(path, path) for path in ("b/BraTS_1_t1.nii", "b/BraTS_1_t2.nii")]
    assert name_cases([files]) == ["BraTS_1"]
    files = [read_name(path, path) for path in ("T1_sub1.nii", "T2_sub1.nii")]
    assert name_cases([files]) == ["sub1"]


@pytest.mark.parametrize(
    ("paths", "patients"),
    [
        (["p1/a.nii", "p1/b.nii", "p2/a.nii", "p3/a.nii"], ["p1", "p1", "p2", "p3"]),
        (["training/p1/a.nii", "training/p1/b.nii", "testing/p2/a.nii", "testing/p3/a.nii"], ["p1", "p1", "p2", "p3"]),
        (["p1/a.nii", "p2/a.nii", "p3/a.nii"], [""] * 3),  # a patient a case
        (["p1/a.nii", "p1/b.nii", "p2/a.nii"], [""] * 3),  # too few to split
        (["site1/a.nii", "site1/b.nii", "site2/a.nii", "site3/a.nii"], [""] * 4),
        (["ct/a.nii", "ct/b.nii", "mr/a.nii", "us/a.nii"], [""] * 4),
        ([f"d{number % 3}/{number}.nii" for number in range(40)], [""] * 40),  # batches, not patients
        (["sub-1_T1w.nii", "sub-2_T1w.nii"], ["sub-1", "sub-2"]),
    ],
)
def test_patients_are_the_folders_of_several_images_or_the_subjects_of_bids(paths, patients):
    assert name_patients(read(*paths)) == patients
