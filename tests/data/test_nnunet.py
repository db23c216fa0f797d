from __future__ import annotations

import json

import pytest

from semicl_monai.data import SegmentationDatalist
from semicl_monai.data.nnunet import find_file
from semicl_monai.data.sections import read_sections
from semicl_monai.utils import InputError

CASES = [f"a_{index:03d}" for index in range(5)]


def touch(root, *files):
    """Make empty files: whoever opens one of them finds no NIfTI in it."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def describe(root, channels, **other):
    root.mkdir(exist_ok=True)
    names = {str(number): f"channel {number}" for number in range(channels)}
    content = {"channel_names": names, "labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz", **other}
    (root / "dataset.json").write_text(json.dumps(content))


def scans(part, *cases, channels=1, ending=".nii.gz"):
    return [f"images{part}/{case}_{number:04d}{ending}" for case in cases for number in range(channels)]


def masks(part, *cases, ending=".nii.gz"):
    return [f"labels{part}/{case}{ending}" for case in cases]


@pytest.fixture
def root(tmp_path):
    """Five cases with a label and two without."""
    root = tmp_path / "Dataset001_A"
    describe(root, 1)
    touch(root, *scans("Tr", *CASES, "b_000", "b_001"), *masks("Tr", *CASES))
    return root


def refuse(root, message):
    with pytest.raises(InputError, match=message):
        SegmentationDatalist(root)


def test_cases_with_a_label_are_split_and_those_without_are_unlabelled(root):
    datalist = SegmentationDatalist(root, labelled_fraction=2)
    assert {part: len(cases) for part, cases in datalist.split.items()} == {
        "labelled": 2,
        "unlabelled": 3,
        "validation": 1,
        "test": 1,
    }
    assert datalist.split["unlabelled"][1:] == ["b_000", "b_001"]
    for record in [*datalist.labelled, *datalist.validation, *datalist.test]:
        image, label = root / f"imagesTr/{record['case']}_0000.nii.gz", root / f"labelsTr/{record['case']}.nii.gz"
        assert record == {"image": str(image), "label": str(label), "case": record["case"]}
    assert datalist.unlabelled[1] == {"image": str(root / "imagesTr/b_000_0000.nii.gz"), "case": "b_000"}


def test_a_relative_folder_gives_absolute_paths(root, monkeypatch):
    monkeypatch.chdir(root)
    first = read_sections("dataset.json")["training"][0]
    assert (first["image"], first["label"]) == (
        str(root / scans("Tr", "a_000")[0]),
        str(root / masks("Tr", "a_000")[0]),
    )


def test_test_images_without_labels_are_left_out(root):
    touch(root, *scans("Ts", "t_1", "t_0"))
    datalist = SegmentationDatalist(root)
    assert len(datalist.split["test"]) == 1
    assert "t_0" not in [case for cases in datalist.split.values() for case in cases]


def test_test_images_with_labels_are_the_test_part(root):
    touch(root, *scans("Ts", "t_1", "t_0", "t_2"), *masks("Ts", "t_1", "t_0"))
    datalist = SegmentationDatalist(root)
    assert datalist.split["test"] == ["t_0", "t_1"]
    assert datalist.test[0]["label"] == str(root / "labelsTs/t_0.nii.gz")
    assert len(datalist.split["labelled"] + datalist.split["validation"]) == 5


def test_an_image_of_several_channels_is_a_list_of_files_in_their_order(tmp_path):
    describe(tmp_path, 4)
    touch(tmp_path, *reversed(scans("Tr", *CASES, channels=4)), *masks("Tr", *CASES))
    datalist = SegmentationDatalist(tmp_path)
    assert len(datalist.training) == 3
    for record in datalist.training:
        assert record["image"] == [
            str(tmp_path / f"imagesTr/{record['case']}_{number:04d}.nii.gz") for number in range(4)
        ]


def test_the_file_ending_may_be_nii_and_what_is_no_nifti_is_named(tmp_path):
    describe(tmp_path, 1, file_ending=".nii")
    touch(tmp_path, *scans("Tr", *CASES, ending=".nii"), *masks("Tr", *CASES, ending=".nii"))
    touch(tmp_path, "imagesTr/._a_000_0000.nii", "imagesTr/notes.txt", "labelsTr/old/a_000.nii", "imagesTr/.DS_Store")
    with pytest.warns(UserWarning, match=r"data set that are not used: imagesTr/notes\.txt, labelsTr/old\.$"):
        datalist = SegmentationDatalist(tmp_path)
    assert sorted(name for names in datalist.split.values() for name in names) == CASES
    assert datalist.labelled[0]["image"].endswith("_0000.nii")


@pytest.mark.parametrize(("images", "labels"), [(".nii.gz", ".nii"), (".nii", ".nii.gz")])
@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
def test_the_other_ending_is_as_good_for_images_and_labels(tmp_path, images, labels, ending):
    describe(tmp_path, 2, file_ending=ending, numTraining=5)
    touch(tmp_path, *scans("Tr", *CASES, "b_000", channels=2, ending=images), *masks("Tr", *CASES[:2]))
    touch(tmp_path, *masks("Tr", *CASES[2:], ending=labels), *masks("Ts", "t_0", ending=labels))
    touch(tmp_path, *scans("Ts", "t_0", channels=2, ending=images))
    datalist = SegmentationDatalist(tmp_path)
    assert len(datalist.labelled + datalist.validation) == 5
    assert (datalist.split["unlabelled"], datalist.split["test"]) == (["b_000"], ["t_0"])
    assert datalist.test[0]["label"] == str(tmp_path / f"labelsTs/t_0{labels}")


@pytest.mark.parametrize("name", ["imagesTr/b_000_0000.nii.gz", "labelsTr/a_001.nii.gz"])
def test_a_link_to_nothing_is_refused_and_not_lost(root, name):
    (root / name).unlink()
    (root / name).symlink_to("nowhere.nii.gz")  # as of a file that git-annex has not fetched
    refuse(root, rf"case [ab]_00[01]: (image|label) file not found: .*{name}")


@pytest.mark.parametrize("part", ["Tr", "Ts"])
def test_a_label_or_image_in_both_forms_is_refused(root, part):
    touch(root, *scans(part, "x_0"), f"labels{part}/x_0.nii", f"labels{part}/x_0.nii.gz")
    refuse(root, rf"case x_0: wanted one label file, got .*labels{part}/x_0\.nii and .*labels{part}/x_0\.nii\.gz")
    (root / f"labels{part}/x_0.nii").unlink()
    touch(root, f"images{part}/x_0_0000.nii")
    refuse(root, rf"case names must differ, got 'x_0_0000' for .*images{part}.* and .*images{part}")


def test_images_without_a_number_are_those_of_the_one_channel(root):
    touch(root, "imagesTr/u_1.nii.gz", "imagesTr/u_0.nii", "imagesTr/v.nii.gz", "labelsTr/v.nii.gz")
    touch(root, "imagesTs/bare.nii.gz", "imagesTs/t.nii.gz", "labelsTs/t.nii")
    datalist = SegmentationDatalist(root)
    assert datalist.split["unlabelled"] == ["b_000", "b_001", "u_0", "u_1"]
    assert datalist.unlabelled[-1]["image"] == str(root / "imagesTr/u_1.nii.gz")
    assert "v" in datalist.split["labelled"] + datalist.split["validation"]
    assert datalist.split["test"] == ["t"]


def test_an_image_with_and_without_its_number_is_refused(root):
    touch(root, "imagesTr/a_001.nii.gz")
    refuse(root, r"case a_001: wanted one image file, got .*a_001_0000\.nii\.gz and .*a_001\.nii\.gz")


def test_fewer_labels_than_the_description_says_are_refused_and_what_is_odd_is_named(root):
    describe(root, 1, numTraining=7)
    touch(root, "labelsTr/b_000.mgz")
    with pytest.warns(UserWarning, match=r"not used: labelsTr/b_000\.mgz"):
        refuse(root, r"'numTraining' is 7, but 5 cases have a label: none for b_000, b_001, and files of other "
               r"names are labelsTr/b_000\.mgz; add the labels, or write 5 if the others have none\.")  # fmt: skip
    touch(root, *masks("Tr", "b_000", "b_001"))
    (root / "labelsTr/b_000.mgz").unlink()
    assert len(SegmentationDatalist(root).training) == 5
    describe(root, 1, numTraining=8)
    refuse(root, "'numTraining' is 8, but 7 cases have a label: every image has one; add the labels, or")
    describe(root, 1, numTraining=6)  # labels that came later
    assert len(SegmentationDatalist(root).training) == 5


@pytest.mark.parametrize("number", ["7", True, 7.0, []])
def test_a_number_of_training_cases_that_is_none_is_refused(root, number):
    describe(root, 1, numTraining=number)
    refuse(root, r"dataset\.json: 'numTraining' must be the number of labelled cases, got ")


@pytest.fixture
def first_version(tmp_path):
    """A folder of nnU-Net's first version: lists of the Decathlon, and a file a channel."""

    def write(channels, cases=CASES, ending=".nii.gz"):
        content = {"modality": {str(number): "MRI" for number in range(channels)}, "numTraining": len(cases)}
        pairs = [{"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"} for case in cases]
        content |= {"training": pairs, "test": ["./imagesTs/t_0.nii.gz"], "labels": {"0": "background", "1": "a"}}
        touch(tmp_path, *scans("Tr", *cases, channels=channels, ending=ending), *masks("Tr", *cases, ending=ending))
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        return tmp_path

    return write


@pytest.mark.parametrize("ending", [".nii.gz", ".nii"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_first_version_of_nnunet_is_read(first_version, channels, ending):
    root = first_version(channels, ending=ending)
    datalist = SegmentationDatalist(root)
    assert sorted(case for cases in datalist.split.values() for case in cases) == CASES
    record = datalist.labelled[0]
    files = [str(root / f"imagesTr/{record['case']}_{number:04d}{ending}") for number in range(channels)]
    assert record["image"] == (files[0] if channels == 1 else files)
    assert record["label"] == str(root / f"labelsTr/{record['case']}{ending}")


def test_a_missing_or_surplus_channel_of_the_first_version_is_refused(first_version):
    root = first_version(2)
    touch(root, "imagesTr/a_002_0002.nii.gz")
    refuse(root, "case a_002: wanted the channels 0000 to 0001, got 0000, 0001, 0002")
    (root / "imagesTr/a_002_0002.nii.gz").unlink()
    (root / "imagesTr/a_002_0000.nii.gz").unlink()
    refuse(root, "case a_002: wanted the channels 0000 to 0001, got 0001")


def test_files_that_the_lists_of_the_first_version_do_not_name_are_told(first_version):
    root = first_version(1)
    touch(root, *scans("Tr", "z_0"), *masks("Tr", "y_0"))
    with pytest.warns(UserWarning, match=r"not used: imagesTr/z_0_0000\.nii\.gz, labelsTr/y_0\.nii\.gz"):
        SegmentationDatalist(root)


def test_without_a_file_ending_it_is_nii_gz(root):
    (root / "dataset.json").write_text('{"channel_names": {"0": "CT"}}')
    assert len(SegmentationDatalist(root).training) == 5


def test_records_are_sorted_by_case_and_hold_what_is_there(root):
    sections = read_sections(root / "dataset.json")
    assert [record["case"] for record in sections["training"]] == [*CASES, "b_000", "b_001"]
    assert ["label" in record for record in sections["training"]] == [True] * 5 + [False] * 2
    assert sections["unlabelled"] == sections["validation"] == sections["test"] == []


@pytest.mark.parametrize("missing", [0, 2])
def test_a_missing_channel_is_refused(tmp_path, missing):
    describe(tmp_path, 3)
    touch(tmp_path, *scans("Tr", *CASES, channels=3), *masks("Tr", *CASES))
    (tmp_path / f"imagesTr/a_003_{missing:04d}.nii.gz").unlink()
    got = ", ".join(f"{number:04d}" for number in range(3) if number != missing)
    refuse(tmp_path, f"case a_003: wanted the channels 0000 to 0002, got {got}")


def test_a_channel_too_many_is_refused(root):
    touch(root, "imagesTr/a_003_0001.nii.gz")
    refuse(root, "case a_003: wanted the channels 0000 to 0000, got 0000, 0001")


@pytest.mark.parametrize("part", ["Tr", "Ts"])
def test_a_label_without_image_is_refused(root, part):
    touch(root, *masks(part, "x_000"))
    refuse(root, rf"case x_000: label .*labels{part}/x_000\.nii\.gz has no image x_000_0000\.nii\.gz")


@pytest.mark.parametrize("ending", [".png", "nii.gz", None])
def test_an_unknown_file_ending_is_refused(root, ending):
    describe(root, 1, file_ending=ending)
    refuse(root, rf"dataset\.json: 'file_ending' must be one of \.nii\.gz, \.nii, .*\.mhd.*, got {ending!r}")


def test_a_folder_without_images_is_refused(tmp_path):
    describe(tmp_path, 1)
    refuse(tmp_path, r"imagesTr must hold images like case_0000\.nii\.gz, got none")
    describe(tmp_path, 2)
    touch(tmp_path, "imagesTr/a_000.nii.gz")
    refuse(tmp_path, r"case a_000: wanted one file per channel, a_000_0000\.nii\.gz and so on, got .*a_000\.nii\.gz")


@pytest.mark.parametrize("names", [{}, ["CT"], "CT"])
def test_channels_without_numbers_are_refused(root, names):
    describe(root, 1, channel_names=names)
    refuse(root, r"dataset\.json: 'channel_names' must name each channel, got ")


def test_a_case_of_training_and_test_is_refused(root):
    touch(root, *scans("Ts", "a_000"), *masks("Ts", "a_000"))
    refuse(root, "case names must differ, got 'a_000' for .*imagesTr.* and .*imagesTs")


def test_a_list_of_files_of_nnunets_own_is_refused(root):
    describe(root, 1, dataset={"a_000": {"images": ["imagesTr/a_000_0000.nii.gz"], "label": "labelsTr/a_000.nii.gz"}})
    refuse(root, r"dataset\.json: nnU-Net's list 'dataset' is not read: write a list 'training'")


def test_images_of_a_part_that_nnunet_does_not_know_are_named(root):
    touch(root, "imagesVal/v_0_0000.nii.gz", "labelsVal/v_0.nii.gz")
    with pytest.warns(UserWarning, match=r"not used: imagesVal/v_0_0000\.nii\.gz, labelsVal/v_0\.nii\.gz\.$"):
        read_sections(root / "dataset.json")


def test_files_of_another_format_are_read_by_their_ending(tmp_path):
    describe(tmp_path, 2, file_ending=".nrrd")
    touch(tmp_path, *(f"imagesTr/a_{channel:04d}.nrrd" for channel in (0, 1)), "labelsTr/a.seg.nrrd")
    (record,) = read_sections(tmp_path / "dataset.json")["training"]
    assert record["image"] == [str(tmp_path / f"imagesTr/a_{channel:04d}.nrrd") for channel in (0, 1)]
    assert record["label"] == str(tmp_path / "labelsTr/a.seg.nrrd")


def test_a_missing_segmentation_is_not_taken_from_its_image_nor_an_image_from_its_segmentation(tmp_path):
    touch(tmp_path, "a.nrrd", "b.seg.nrrd", "c.nhdr")
    assert find_file(str(tmp_path / "a.seg.nrrd")) == str(tmp_path / "a.seg.nrrd")
    assert find_file(str(tmp_path / "b.nrrd")) == str(tmp_path / "b.nrrd")
    assert find_file(str(tmp_path / "c.nrrd")) == str(tmp_path / "c.nhdr")
