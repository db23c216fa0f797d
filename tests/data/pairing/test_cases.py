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


def test_the_number_of_nnunets_first_channel_is_left_out_where_the_label_lacks_it():
    images = read("a_0000.nii", "b_0000.nii", "c.nii")
    labels = [read_name(path, path, is_label=True) for path in ("a.nii", "b_0000_seg.nii")]
    assert name_cases(images, [*labels, None]) == ["a", "b_0000", "c"]
    assert name_cases(images, [labels[0], None, None]) == ["a", "b", "c"]
    assert name_cases(images[:2], [None, labels[1]]) == ["a", "b"]


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
        (
            ["site1/p1/a.nii", "site1/p1/b.nii", "site2/p1/a.nii", "site2/p2/a.nii"],
            ["site1_p1"] * 2 + ["site2_p1", "site2_p2"],
        ),
        (["p1/site1/a.nii", "p1/site2/b.nii", "p2/site1/a.nii", "p3/site1/a.nii"], ["p1", "p1", "p2", "p3"]),
        (["site1/p1/a.nii", "site1/p1/b.nii", "site1/p2/a.nii", "site1/p3/a.nii"], ["p1", "p1", "p2", "p3"]),
        (["2019/p1/a.nii", "2020/p1/b.nii", "2019/p2/a.nii", "2020/p3/b.nii"], [""] * 4),
        (["ct/a.nii", "ct/b.nii", "mr/a.nii", "us/a.nii"], [""] * 4),
        ([f"d{number % 3}/{number}.nii" for number in range(40)], [""] * 40),  # batches, not patients
        (["sub-1_T1w.nii", "sub-2_T1w.nii"], ["sub-1", "sub-2"]),
    ],
)
def test_patients_are_the_folders_of_several_images_or_the_subjects_of_bids(paths, patients):
    assert name_patients(read(*paths)) == patients
