"""Layouts of data sets as they are found in the world, and how their files are paired."""

from __future__ import annotations

import pytest

from semicl_monai.data.pairing import find_pairs
from semicl_monai.utils import InputError


@pytest.fixture
def tree(tmp_path):
    """Make empty files and return their root."""

    def make(*files):
        for file in files:
            path = tmp_path / "data" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "data"

    return make


def found(root, images="", labels=None):
    """The pairs as text: case, images, label and patient."""
    pairing, _ = find_pairs(f"{root}/{images}".rstrip("/"), None if labels is None else f"{root}/{labels}".rstrip("/"))
    return {
        case.case: (
            " ".join(image.shown for image in case.images),
            case.label.shown if case.label else None,
            case.patient,
        )
        for case in pairing.cases
    }


def numbered(*patterns, count=3, start=1):
    return [pattern.format(number) for pattern in patterns for number in range(start, start + count)]


# name, files by number, image(s), label and case of number 1, options
LAYOUTS = {
    "suffix _seg": (["c{:02}.nii.gz", "c{:02}_seg.nii.gz"], "c01.nii.gz", "c01_seg.nii.gz", "c01"),
    "suffix -label, another ending": (["c{:02}.nii.gz", "c{:02}-label.nrrd"], "c01.nii.gz", "c01-label.nrrd", "c01"),
    "suffix .mask": (["c{:02}.nii", "c{:02}.mask.nii"], "c01.nii", "c01.mask.nii", "c01"),
    "prefix segmentation-": (["c{:02}.nii", "segmentation-c{:02}.nii"], "c01.nii", "segmentation-c01.nii", "c01"),
    "prefix mask_ and capitals": (["Case{:02}.nii", "Mask_CASE{:02}.nii"], "Case01.nii", "Mask_CASE01.nii", "Case01"),
    "Slicer": (["Case{:02}.nrrd", "Case{:02}.seg.nrrd"], "Case01.nrrd", "Case01.seg.nrrd", "Case01"),
    "LiTS": (["volume-{}.nii", "segmentation-{}.nii"], "volume-1.nii", "segmentation-1.nii", "volume-1"),
    "BTCV": (
        ["img/img{:04}.nii.gz", "label/label{:04}.nii.gz"],
        "img/img0001.nii.gz",
        "label/label0001.nii.gz",
        "img0001",
    ),
    "PROMISE12": (
        ["Case{:02}.mhd", "Case{:02}.raw", "Case{:02}_segmentation.mhd", "Case{:02}_segmentation.raw"],
        "Case01.mhd",
        "Case01_segmentation.mhd",
        "Case01",
    ),
    "KiTS": (
        ["case_{:05}/imaging.nii.gz", "case_{:05}/segmentation.nii.gz"],
        "case_00001/imaging.nii.gz",
        "case_00001/segmentation.nii.gz",
        "case_00001",
    ),
    "MM-WHS": (
        ["ct_train_100{}_image.nii.gz", "ct_train_100{}_label.nii.gz"],
        "ct_train_1001_image.nii.gz",
        "ct_train_1001_label.nii.gz",
        "ct_train_1001_image",
    ),
    "AMOS without JSON": (
        ["imagesTr/amos_{:04}.nii.gz", "labelsTr/amos_{:04}.nii.gz"],
        "imagesTr/amos_0001.nii.gz",
        "labelsTr/amos_0001.nii.gz",
        "amos_0001",
    ),
    "nnU-Net without JSON": (
        ["imagesTr/k_{:03}_0000.nii.gz", "labelsTr/k_{:03}.nii.gz"],
        "imagesTr/k_001_0000.nii.gz",
        "labelsTr/k_001.nii.gz",
        "k_001",
    ),
    "nnU-Net of two channels": (
        ["imagesTr/k_{:03}_0000.nii.gz", "imagesTr/k_{:03}_0001.nii.gz", "labelsTr/k_{:03}.nii.gz"],
        "imagesTr/k_001_0000.nii.gz imagesTr/k_001_0001.nii.gz",
        "labelsTr/k_001.nii.gz",
        "k_001",
    ),
    "a folder a patient": (
        ["p{}/image.nii.gz", "p{}/label.nii.gz"],
        "p1/image.nii.gz",
        "p1/label.nii.gz",
        "p1",
    ),
    "two trees of patients": (
        ["images/p{}/t1.nii.gz", "labels/p{}/seg.nii.gz"],
        "images/p1/t1.nii.gz",
        "labels/p1/seg.nii.gz",
        "p1",
    ),
    "a folder a patient, other names": (
        ["p{}/t1.nii.gz", "p{}/lesion_mask.nii.gz"],
        "p1/t1.nii.gz",
        "p1/lesion_mask.nii.gz",
        "p1",
    ),
    "folders below patients": (
        ["p{}/scan/t1.nii.gz", "p{}/masks/liver.nii.gz"],
        "p1/scan/t1.nii.gz",
        "p1/masks/liver.nii.gz",
        "p1",
    ),
    "names with other words": (
        ["scans/CT_{:03}.nii.gz", "ground truth/{:03}_final.nii.gz"],
        "scans/CT_001.nii.gz",
        "ground truth/001_final.nii.gz",
        "CT_001",
    ),
    "BraTS 2020": (
        [f"BraTS20_Training_{{:03}}/BraTS20_Training_{{:03}}_{s}.nii" for s in ("flair", "seg", "t1", "t1ce", "t2")],
        " ".join(f"BraTS20_Training_001/BraTS20_Training_001_{s}.nii" for s in ("flair", "t1", "t1ce", "t2")),
        "BraTS20_Training_001/BraTS20_Training_001_seg.nii",
        "BraTS20_Training_001",
    ),
    "BraTS 2023": (
        [f"BraTS-GLI-{{:05}}-000/BraTS-GLI-{{:05}}-000-{s}.nii.gz" for s in ("seg", "t1c", "t1n", "t2f", "t2w")],
        " ".join(f"BraTS-GLI-00001-000/BraTS-GLI-00001-000-{s}.nii.gz" for s in ("t1c", "t1n", "t2f", "t2w")),
        "BraTS-GLI-00001-000/BraTS-GLI-00001-000-seg.nii.gz",
        "BraTS-GLI-00001-000",
    ),
    "channels by name in one folder": (
        ["a{}_t1.nii", "a{}_t2.nii", "a{}_gt.nii"],
        "a1_t1.nii a1_t2.nii",
        "a1_gt.nii",
        "a1",
    ),
    "a word of labels in all names": (
        ["images/roi_{}.nii", "labels/roi_{}.nii"],
        "images/roi_1.nii",
        "labels/roi_1.nii",
        "roi_1",
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_known_layout_is_paired(tree, layout):
    patterns, images, label, case = LAYOUTS[layout]
    root = tree(*(pattern.format(*[number] * 2) for pattern in patterns for number in (1, 2, 3)))
    pairs = found(root)
    assert len(pairs) == 3
    assert pairs[case] == (images, label, "")
