"""Layouts of data sets as they are found in the world, and how their files are paired."""

from __future__ import annotations

import unicodedata

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
    "words without a gap": (["Pat{}.nii", "Pat{}Seg.nii"], "Pat1.nii", "Pat1Seg.nii", "Pat1"),
    "a word more in the label": (["c{}.nii", "c{}_liver_seg.nii"], "c1.nii", "c1_liver_seg.nii", "c1"),
    "LUNA": (["subset{}/1.3.{}.mhd", "seg-lungs/1.3.{}.mhd"], "subset1/1.3.1.mhd", "seg-lungs/1.3.1.mhd", "1.3.1"),
    "a number that the image repeats": (
        ["Patient {}/{} T1 axial.nrrd", "Patient {}/Segmentation.seg.nrrd"],
        "Patient 1/1 T1 axial.nrrd",
        "Patient 1/Segmentation.seg.nrrd",
        "1 T1 axial",
    ),
    "the same number in all labels": (
        ["{:02}/norm.nii.gz", "{:02}/aligned_seg35.nii.gz"],
        "01/norm.nii.gz",
        "01/aligned_seg35.nii.gz",
        "01",
    ),
    "a folder for the channels": (
        ["{}/pre/FLAIR.nii.gz", "{}/pre/3DT1.nii.gz", "{}/segm.nii.gz"],
        "1/pre/3DT1.nii.gz 1/pre/FLAIR.nii.gz",
        "1/segm.nii.gz",
        "1",
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


BIDS_LAYOUTS = {
    "a derivatives folder of masks": (
        ["sub-{:02}/anat/sub-{:02}_T1w.nii.gz", "derivatives/manual/sub-{:02}/anat/sub-{:02}_desc-lesion_mask.nii.gz"],
        "sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/manual/sub-01/anat/sub-01_desc-lesion_mask.nii.gz",
        "sub-01_T1w",
    ),
    "two sequences": (
        [
            *("sub-{:02}/anat/sub-{:02}_T1w.nii.gz", "sub-{:02}/anat/sub-{:02}_T2w.nii.gz"),
            "derivatives/a/sub-{:02}/anat/sub-{:02}_dseg.nii.gz",
        ],
        "sub-01/anat/sub-01_T1w.nii.gz sub-01/anat/sub-01_T2w.nii.gz",
        "derivatives/a/sub-01/anat/sub-01_dseg.nii.gz",
        "sub-01",
    ),
    "ATLAS": (
        [
            "sub-{:02}/ses-1/anat/sub-{:02}_ses-1_space-MNI_T1w.nii.gz",
            "sub-{:02}/ses-1/anat/sub-{:02}_ses-1_space-MNI_label-L_desc-T1lesion_mask.nii.gz",
        ],
        "sub-01/ses-1/anat/sub-01_ses-1_space-MNI_T1w.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_space-MNI_label-L_desc-T1lesion_mask.nii.gz",
        "sub-01_ses-1_space-MNI_T1w",
    ),
    "ISLES": (
        [
            *("sub-{:02}/ses-1/dwi/sub-{:02}_ses-1_adc.nii.gz", "sub-{:02}/ses-1/dwi/sub-{:02}_ses-1_dwi.nii.gz"),
            *("sub-{:02}/ses-1/anat/sub-{:02}_ses-1_FLAIR.nii.gz",),
            "derivatives/sub-{:02}/ses-1/sub-{:02}_ses-1_msk.nii.gz",
        ],
        "sub-01/ses-1/dwi/sub-01_ses-1_adc.nii.gz sub-01/ses-1/dwi/sub-01_ses-1_dwi.nii.gz "
        "sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz",
        "derivatives/sub-01/ses-1/sub-01_ses-1_msk.nii.gz",
        "sub-01_ses-1",
    ),
    "masks named like their images": (
        ["sub-{:02}/anat/sub-{:02}_T1w.nii.gz", "derivatives/masks/sub-{:02}/anat/sub-{:02}_T1w.nii.gz"],
        "sub-01/anat/sub-01_T1w.nii.gz",
        "derivatives/masks/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-01_T1w",
    ),
}


@pytest.mark.parametrize("layout", BIDS_LAYOUTS)
def test_bids_is_paired_and_its_subjects_are_patients(tree, layout):
    patterns, images, label, case = BIDS_LAYOUTS[layout]
    root = tree(*(pattern.format(number, number) for pattern in patterns for number in (1, 2, 3)))
    pairs = found(root)
    assert len(pairs) == 3
    assert pairs[case] == (images, label, "sub-01")


def test_sessions_of_bids_are_cases_of_one_patient(tree):
    ids = [(f"sub-0{sub}", f"ses-{ses}") for sub in (1, 2) for ses in (1, 2)]
    root = tree(
        *(f"{sub}/{ses}/anat/{sub}_{ses}_T1w.nii.gz" for sub, ses in ids),
        *(f"derivatives/x/{sub}/{ses}/anat/{sub}_{ses}_dseg.nii.gz" for sub, ses in ids[:3]),
    )
    pairs = found(root)
    assert {case: patient for case, (_, _, patient) in pairs.items()} == {f"{sub}_{ses}_T1w": sub for sub, ses in ids}
    assert [case for case, (_, label, _) in pairs.items() if label is None] == ["sub-02_ses-2_T1w"]


def test_what_bids_has_beside_images_and_masks_is_left_out_and_said(tree):
    subjects = [f"sub-0{number}" for number in (1, 2)]
    root = tree(
        *(f"{sub}/anat/{sub}_T1w.nii.gz" for sub in subjects),
        *(f"{sub}/func/{sub}_task-rest_bold.nii.gz" for sub in subjects),
        *(f"derivatives/x/{sub}/anat/{sub}_{end}.nii.gz" for sub in subjects for end in ("dseg", "label-GM_probseg")),
        "derivatives/x/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    )
    pairing, _ = find_pairs(str(root))
    assert len(pairing.cases) == 2
    assert [line.split(":")[0] for line in pairing.left_out] == [
        "images in derivatives",
        "probabilities",
        "no structural images",
    ]


def test_frames_of_acdc_are_paired_and_their_series_over_time_is_left_out(tree):
    names = ("frame01", "frame01_gt", "frame12", "frame12_gt", "4d")
    root = tree(
        *(f"{part}/patient{n:03}/patient{n:03}_{name}.nii.gz" for part, n in FOLDERS for name in names), "x/Info.cfg"
    )
    pairing, _ = find_pairs(str(root))
    assert len(pairing.cases) == 2 * len(FOLDERS)
    assert all(case.label.parts[-1] == f"{case.case}_gt" for case in pairing.cases)
    assert {case.case: case.patient for case in pairing.cases}["patient002_frame12"] == "patient002"
    assert [case.part for case in pairing.cases] == 6 * ["training"] + 2 * ["test"]
    (line,) = pairing.left_out
    assert line.startswith("time series: testing/patient004/patient004_4d.nii.gz, training/patient001/")


FOLDERS = [("training", 1), ("training", 2), ("training", 3), ("testing", 4)]


def test_images_of_a_test_folder_are_held_out_and_those_for_validation_too(tree):
    root = tree(
        *numbered("imagesTr/a{}_0000.nii", "labelsTr/a{}.nii", "imagesTs/b{}_0000.nii"),
        *numbered("imagesVal/c{}_0000.nii", "labelsVal/c{}.nii", count=1),
    )
    pairing, _ = find_pairs(str(root))
    parts = {case.case: (case.part, case.label is not None) for case in pairing.cases}
    assert parts == {
        **dict.fromkeys(("a1", "a2", "a3"), ("training", True)),
        **dict.fromkeys(("b1", "b2", "b3"), ("test", False)),
        "c1": ("validation", True),
    }


def test_a_folder_called_test_with_all_labels_is_no_split(tree):
    pairing, _ = find_pairs(str(tree(*numbered("test/a{}.nii", "test/a{}_seg.nii"))))
    assert {case.part for case in pairing.cases} == {"training"}


def test_images_and_labels_of_two_places(tree):
    root = tree(*numbered("here/a{}.nii.gz", "there/a{}.nii"), "here/b.nii.gz")
    pairs = found(root, "here", "there")
    assert pairs["a1"] == ("here/a1.nii.gz", "there/a1.nii", "")
    assert pairs["b"] == ("here/b.nii.gz", None, "")


def test_a_folder_of_all_files_tells_nothing_about_them(tree):
    root = tree(*numbered("segmentation study/p{}/t1.nii", "segmentation study/p{}/t1_mask.nii"))
    assert found(root)["p1"] == ("p1/t1.nii", "p1/t1_mask.nii", "")


def test_unlabelled_images_may_lie_in_a_folder_of_that_name(tree):
    pairs = found(tree(*numbered("labelled/a{}.nii", "labelled/a{}_seg.nii", "unannotated/b{}.nii")))
    assert [case for case, (_, label, _) in pairs.items() if label is None] == ["b1", "b2", "b3"]


def test_labels_inside_the_folder_of_images(tree):
    root = tree(*numbered("a{}.nii", "drawn by me/a{}.nii"))
    assert found(root, "", "drawn by me")["a2"] == ("data/a2.nii", "drawn by me/a2.nii", "")


def test_patterns_choose_images_and_labels(tree):
    root = tree(*numbered("p{}/t1.nii.gz", "p{}/t2.nii.gz", "p{}/lesion.nii.gz", "p{}/brain_mask.nii.gz"))
    assert found(root, "*/t1.nii.gz", "*/lesion.nii.gz")["p1"] == ("p1/t1.nii.gz", "p1/lesion.nii.gz", "")
    assert found(root, "p?/t2.nii.gz")["p1"] == ("p1/t2.nii.gz", "p1/brain_mask.nii.gz", "")
    both = found(root, "", "**/lesion.nii.gz")["p1"]
    assert both == ("p1/t1.nii.gz p1/t2.nii.gz", "p1/lesion.nii.gz", "")


def test_a_structure_of_totalsegmentator_is_chosen_by_a_pattern(tree):
    root = tree(*numbered("s{:04}/ct.nii.gz", "s{:04}/segmentations/liver.nii.gz", "s{:04}/segmentations/rib_1.nii.gz"))
    pairing, _ = find_pairs(str(root), f"{root}/*/segmentations/rib_1.nii.gz")
    assert [case.label.parts[-2:] for case in pairing.cases] == 3 * [("segmentations", "rib_1")]
    (line,) = pairing.left_out
    assert line.startswith("files named like labels that are not among --labels: s0001/segmentations/liver.nii.gz")


def test_hidden_files_are_left_out_and_links_are_followed_once(tree, tmp_path):
    root = tree("a.nii.gz", "._a.nii.gz", "a_seg.nii.gz", ".trash/b.nii.gz")
    other = tmp_path / "other"
    other.mkdir()
    for name in ("c.nii.gz", "c_seg.nii.gz"):
        (other / name).touch()
    (root / "link").symlink_to(other, target_is_directory=True)
    (other / "loop").symlink_to(root, target_is_directory=True)
    assert found(root) == {"a": ("a.nii.gz", "a_seg.nii.gz", ""), "c": ("link/c.nii.gz", "link/c_seg.nii.gz", "")}


def test_a_link_that_leads_nowhere_is_left_out_and_said(tree):
    root = tree("a.nii", "a_seg.nii")
    (root / "b.nii").symlink_to(root / "nowhere.nii")
    pairing, _ = find_pairs(str(root))
    assert [case.case for case in pairing.cases] == ["a"]
    assert pairing.left_out == ("a link that leads nowhere: b.nii",)


def test_umlauts_of_one_or_two_characters_are_the_same(tree):
    names = ("Müller, Jörg", "Schäfer Änne", "Zoë N.", "Weiß")
    images = [unicodedata.normalize("NFC", name) for name in names]
    root = tree(
        *(f"Bilder/{name}.nii" for name in images),
        *(f"Masken/{unicodedata.normalize('NFD', name.upper())}.nrrd" for name in names),
    )
    assert {case: label is not None for case, (_, label, _) in found(root).items()} == dict.fromkeys(images, True)


def test_unlabelled_images_of_channels_are_grouped_as_labelled_ones_are(tree):
    root = tree(*numbered("b{}/b{}_t1.nii".replace("{}", "{0}"), "b{0}/b{0}_t2.nii"), "b1/b1_seg.nii", "b3/b3_seg.nii")
    assert found(root)["b2"] == ("b2/b2_t1.nii b2/b2_t2.nii", None, "")


# name, files, labelled and unlabelled images, images of another sequence
SEQUENCES = {
    "BIDS": (
        [
            *numbered("sub-0{0}/anat/sub-0{0}_T1w.nii", "sub-0{0}/anat/sub-0{0}_T2w.nii"),
            *numbered("derivatives/x/sub-0{0}/anat/sub-0{0}_T1w_dseg.nii", count=2),
        ],
        ["sub-01_T1w", "sub-02_T1w", "sub-03_T1w"],
        ["sub-01_T2w", "sub-02_T2w", "sub-03_T2w"],
    ),
    "BIDS, with and without contrast agent": (
        [
            *numbered("sub-{0}_T1w.nii", "sub-{0}_T1w_dseg.nii", "sub-{0}_ce-gd_T1w.nii"),
        ],
        ["sub-1_T1w", "sub-2_T1w", "sub-3_T1w"],
        ["sub-1_ce-gd_T1w", "sub-2_ce-gd_T1w", "sub-3_ce-gd_T1w"],
    ),
    "two sequences in one folder": (
        [*numbered("p{}_T1.nii", "p{}_T2.nii"), *numbered("p{}_T1_seg.nii", count=2)],
        ["p1_T1", "p2_T1", "p3_T1"],
        ["p1_T2", "p2_T2", "p3_T2"],
    ),
    "a patient with another sequence alone": (
        [*numbered("p{}_T1w.nii", "p{}_T1w_seg.nii"), "p4_T1.nii", "p5.nii", "p6_T2.nii"],
        ["p1_T1w", "p2_T1w", "p3_T1w", "p4_T1", "p5"],
        ["p6_T2"],
    ),
    "another sequence of unlabelled patients alone": (
        [
            *numbered("sub-0{0}/anat/sub-0{0}_T1w.nii", "derivatives/x/sub-0{0}/anat/sub-0{0}_dseg.nii"),
            *("sub-04/anat/sub-04_T1w.nii", "sub-04/anat/sub-04_T2w.nii", "sub-05/anat/sub-05_T2w.nii"),
        ],
        ["sub-01_T1w", "sub-02_T1w", "sub-03_T1w", "sub-04_T1w"],
        ["sub-04_T2w", "sub-05_T2w"],
    ),
    "a folder a sequence": (
        [*numbered("{}/ct.nii", "{}/ct_seg.nii", "{}/pet.nii")],
        ["1", "2", "3"],
        ["pet"] * 3,
    ),
    "channels of nnU-Net": (
        [*numbered("p{}_0000.nii", "p{}_0000_seg.nii", "p{}_0001.nii")],
        ["p1", "p2", "p3"],
        ["p1_0001", "p2_0001", "p3_0001"],
    ),
    "phases of contrast": (
        [*numbered("p{}_portal.nii", "p{}_portal_seg.nii", "p{}_arterial.nii")],
        ["p1_portal", "p2_portal", "p3_portal"],
        ["p1_arterial", "p2_arterial", "p3_arterial"],
    ),
    "a sequence beside images whose names have none": (
        [*numbered("p{}.nii", "p{}_seg.nii"), "p4.nii", "p4_T2.nii", "p1_T2.nii", "ct_p9.nii"],
        ["ct_p9", "p1", "p2", "p3", "p4"],
        ["p1_T2", "p4_T2"],
    ),
}


@pytest.mark.parametrize("layout", SEQUENCES)
def test_images_of_another_sequence_are_left_out_and_said(tree, layout):
    files, cases, others = SEQUENCES[layout]
    pairing, _ = find_pairs(str(tree(*files)))
    assert [case.case for case in pairing.cases] == cases
    (line,) = pairing.left_out
    named = line.removeprefix("another sequence than the images with a label: ").split(", ")
    assert [name.rsplit("/", 1)[-1].removesuffix(".nii") for name in named] == others


def test_unlabelled_images_of_each_labelled_sequence_are_used(tree):
    pairs = found(tree(*numbered("{}_ct.nii", "{}_ct_seg.nii", "{}_mr.nii", "{}_mr_seg.nii"), "8_ct.nii", "9_mr.nii"))
    assert [case for case, (_, label, _) in pairs.items() if label is None] == ["8_ct", "9_mr"]


def test_a_label_of_the_same_other_words_in_all_names_is_paired(tree):
    assert (
        found(tree("anna.nii", "bob.nii", "anna_liver_seg.nii", "bob_liver_seg.nii"))["bob"][1] == "bob_liver_seg.nii"
    )


def test_a_case_keeps_its_number(tree):
    root = tree(*numbered("c_{:04}.nii", "c_{:04}_seg.nii", start=0, count=4))
    assert list(found(root)) == ["c_0000", "c_0001", "c_0002", "c_0003"]


@pytest.mark.parametrize("patients", ["{0}/p0{1}/a.nii {0}/p0{1}/b.nii", "{0}/sub-0{1}/sub-0{1}_T1w.nii"])
@pytest.mark.parametrize("site", ["site{}", "Hospital {}", "ds00011{}"])
def test_equal_names_at_two_sites_are_two_patients(tree, patients, site):
    images = [file.format(site.format(s), p) for file in patients.split() for s in (1, 2) for p in (1, 2)]
    pairs = found(tree(*images, *(file.replace(".nii", "_seg.nii") for file in images)))
    patient = "sub-0{}" if "sub" in patients else "p0{}"
    assert {who for _, _, who in pairs.values()} == {
        f"{site.format(s)}_{patient.format(p)}" for s in (1, 2) for p in (1, 2)
    }
    assert all(label.startswith(image.removesuffix(".nii")) for image, label, _ in pairs.values())


def test_formats_that_are_not_read_are_named(tree):
    pairing, _ = find_pairs(str(tree("a.nii", "a_seg.nii", "b.mgz", "c.txt")))
    assert pairing.left_out == ("a format that is not read (FreeSurfer): b.mgz",)


@pytest.mark.parametrize("image", ["image.nii", "t1.nii", "scan.nii.gz", "brain.nrrd"])
def test_a_single_image_and_a_label_whose_name_tells_nothing_are_paired(tree, image):
    (pair,) = found(tree(image, "label.nii")).values()
    assert pair == (image, "label.nii", "")


def test_sequences_in_one_folder_with_one_label_are_channels(tree):
    (pair,) = found(tree("t1.nii", "flair.nii", "mask.nii")).values()
    assert pair == ("flair.nii t1.nii", "mask.nii", "")


@pytest.mark.parametrize("names", ["a{}_seg1.nii a{}_seg2.nii", "a{}_reader1_seg.nii a{}_reader2_seg.nii"])
def test_the_labels_of_one_reader_are_chosen_by_the_pattern_that_is_proposed(tree, names):
    root = tree(*numbered("a{}.nii", *names.split()))
    with pytest.raises(InputError, match=r"a1\.nii has 2 labels") as raised:
        find_pairs(str(root))
    pattern = str(raised.value).partition("--labels '")[2].partition("'")[0]
    pairs = found(root, "", pattern.removeprefix(f"{root}/"))
    assert {case: label for case, (_, label, _) in pairs.items()} == {
        f"a{n}": names.split()[0].format(n) for n in (1, 2, 3)
    }


def test_a_format_that_is_not_read_is_named_where_labels_have_no_image(tree):
    with pytest.raises(InputError, match=r"1 of 2 labels .*left out as a format that is not read \(Analyze .*b\.hdr"):
        find_pairs(str(tree("a.nii", "a_seg.nii", "b.img", "b.hdr", "b_seg.nii")))


# name, files by number, what is asked
QUESTIONS = {
    "no label": (
        ["a{}.nii"],
        r"no label found in .*: no name of the 3 files \(a1\.nii, .*'FOLDER_OF_LABELS/\*\*/\*\.nii\.gz'",
    ),
    "an unknown word": (
        ["p{}/lesion.nii", "p{}/t1.nii"],
        r"no label found .* by --labels, as a folder or a pattern such as '/.*/\*\*/lesion\.nii'\.",
    ),
    "only labels": (["a{}.nii", "b_{}.mha"], "no label found"),
    "a folder of labels": (
        ["x/a{}_dseg.nii"],
        r"all 3 files are named like labels \(x/a1_dseg\.nii.*; give --im",
    ),
    "two sequences without a label": (
        ["a{}_T1w.nii", "a{}_T2w.nii"],
        r"give the labels by --labels, as a folder or a pattern such as 'FOLDER_OF_LABELS/",
    ),
    "other names": (
        ["img{}.nii", "x{}9_seg.nii"],
        r"no label has a name like that of an image: the labels are x19_seg\.nii, .*or choose by a pattern, such as ",
    ),
    "a word of labels inside another": (
        ["imagesTr/a{}.nii", "labelsTr/a{}.nii", "labelsv2/a{}.nii"],
        r"3 file\(s\) without a label may be labels by their names: labelsv2/a1\.nii, .*; rename them, or choose",
    ),
    "TotalSegmentator": (
        ["s{}/ct.nii.gz", "s{}/segmentations/liver.nii.gz", "s{}/segmentations/spleen.nii.gz"],
        r"image s1/ct\.nii\.gz has 2 labels, s1/segmentations/liver\.nii\.gz, .*: wanted "
        r"one label an image, .* merge them into one file, .* --labels '/.*/liver\.nii\.gz' or '/.*/spleen\.nii\.gz'\.",
    ),
    "two readers": (
        ["a{}.nii", "a{}_reader1_seg.nii", "a{}_reader2_seg.nii"],
        r"image a1\.nii has 2 labels, a1_reader1_seg\.nii, .* --labels '/.*/\*\*/\*_reader1_seg\.nii'",
    ),
    "two raters": (
        ["a{}.nii", "a{}_seg1.nii", "a{}_seg2.nii"],
        r"image a1\.nii has 2 labels, a1_seg1\.nii, a1_seg2\.nii: .* --labels '/.*/\*\*/\*_seg1\.nii'",
    ),
    "two structures, not both in all images": (
        ["a{}.nii", "a{}_liver_seg.nii", "a1_spleen_seg.nii"],
        r"image a1\.nii has 2 labels, a1_liver_seg\.nii, a1_spleen_seg\.nii: .* --labels '/.*/\*\*/\*_liver_seg\.nii'",
    ),
    "Analyze": (
        ["a{}.img", "a{}.hdr", "a{}_seg.nii"],
        r"no image found; left out as a format that is not read \(Analyze .*\): a1\.hdr, .*; convert such images to",
    ),
    "two derivatives": (
        [
            "sub-{0}/anat/sub-{0}_T1w.nii",
            "derivatives/x/sub-{0}/sub-{0}_mask.nii",
            "derivatives/y/sub-{0}/sub-{0}_mask.nii",
        ],
        r"image sub-1/anat/sub-1_T1w\.nii has 2 labels, derivatives/x/sub-1/.*such as --labels '/.*/\*\*/\*_mask\.nii'",
    ),
    "two scans of a patient": (
        ["p{}/scan1.nii", "p{}/scan2.nii", "p{}/mask.nii"],
        r"label p1/mask\.nii fits 2 images, p1/scan1\.nii, p1/scan2\.nii, whose names do not tell that they are ch",
    ),
    "two endings": (["a{}.nii", "a{}.mha", "a{}_seg.nii"], r"label a1_seg\.nii fits 2 images, a1\.mha, a1\.nii"),
    "capitals": (
        ["a{}.NII.GZ", "a{}_seg.nii.gz"],
        r"--images: the endings of files must be in small .* got a1\.NII\.GZ",
    ),
    "another image has the name": (
        ["a/b{}.nii", "a/b{}_seg.nii", "c/b{}_mask.nii"],
        r"image a/b1\.nii has 2 labels, a/b1_seg\.nii, c/b1_",
    ),
}


@pytest.mark.parametrize("layout", QUESTIONS)
def test_what_is_not_clear_is_asked_in_one_line(tree, layout):
    patterns, message = QUESTIONS[layout]
    root = tree(*(pattern.format(number) for pattern in patterns for number in (1, 2, 3)))
    with pytest.raises(InputError, match=message) as raised:
        find_pairs(str(root))
    assert "\n" not in str(raised.value)


# files, what is asked
SINGLE_QUESTIONS = {
    "a label without image": (
        ["p1.nii", "p1_seg.nii", "p2_seg.nii"],
        r"1 of 2 labels have no image: p2_seg\.nii; add the images or take the labels away",
    ),
    "the image of a label is missing, and another scan has a part of its name": (
        ["p1.nii", "p1_seg.nii", "p1_2_seg.nii", "p2.nii", "p2_seg.nii"],
        r"image p1\.nii has 2 labels, p1_seg\.nii, p1_2_seg\.nii: .*; if one of them is of an image that is missing",
    ),
    "the image of a label is missing, and another scan is there": (
        ["p3_1.nii", "p3_2_seg.nii", "p1_1.nii", "p1_1_seg.nii"],
        r"1 of 2 labels have no image: p3_2_seg\.nii",
    ),
    "another person has the name and more": (
        ["anna.nii", "bob.nii", "anna_maria_seg.nii", "bob_seg.nii"],
        r"1 of 2 labels have no image: anna_maria_seg.* is not taken for a label of anna\.nii, as it has 'maria' more",
    ),
    "the image has more": (
        ["anna_maria.nii", "bob.nii", "anna_seg.nii", "bob_seg.nii"],
        r"all labels must have images with the same endings",
    ),
    "the only label has more": (
        ["anna.nii", "bob.nii", "anna_maria_seg.nii"],
        r"no label has a name like that of an image: the labels are anna_maria_seg\.nii",
    ),
    "the only image has more": (
        ["anna_maria.nii", "bob.nii", "anna_seg.nii"],
        r"no label has a name like that of an image: the labels are anna_seg\.nii",
    ),
    "labels with different words": (
        ["anna.nii", "bob.nii", "anna_maria_seg.nii", "bob_liver_seg.nii"],
        r"no label has a name like that of an image: the labels are anna_maria_seg\.nii, bob_liver",
    ),
    "a channel of a labelled image is missing": (
        [*numbered("k{}_0000.nii", "k{}_0001.nii", count=2), "k3_0000.nii", *numbered("k{}_seg.nii")],
        r"all labels must have images with the same endings, got: k1_seg\.nii has k1_0000\.nii, k1_0001\.nii; k3_seg",
    ),
    "a channel of an unlabelled image is missing": (
        [*numbered("k{}_0000.nii", "k{}_0001.nii", "k{}_seg.nii", count=2), "k3_0000.nii"],
        r"image k3_0000\.nii has no label, and must be one of 0000, 0001, as the images with a label: got k3_0000\.nii",
    ),
    "some patients have more sequences": (
        [*numbered("p{}/t1.nii", "p{}/seg.nii"), "p2/t2.nii"],
        r"all labels must have images with the same endings, .*such as --images '/.*/\*\*/t1\.nii'",
    ),
    "the same unlabelled image twice": (
        ["a.nii", "a_seg.nii", "b.nii", "b.mha"],
        r"images must have names that differ",
    ),
    "nothing": (["a.txt"], r"--images .*: no image found\."),
    "only labels": (["x/a_seg.nii", "y/b_mask.nii"], r"no image found, as all 2 files are named like labels \(x/a_seg"),
}


@pytest.mark.parametrize("layout", SINGLE_QUESTIONS)
def test_what_does_not_fit_is_asked_in_one_line(tree, layout):
    files, message = SINGLE_QUESTIONS[layout]
    with pytest.raises(InputError, match=message) as raised:
        find_pairs(str(tree(*files)))
    assert "\n" not in str(raised.value)


def test_places_that_are_not_there_are_refused(tree):
    root = tree("a.nii")
    with pytest.raises(InputError, match=r"--images must be a folder or a pattern such as 'data/\*/t1\.nii\.gz', got"):
        find_pairs(f"{root}/nowhere")
    with pytest.raises(InputError, match=r"--labels: no file fits the pattern .*/\*\.nrrd\."):
        find_pairs(str(root), f"{root}/*.nrrd")
