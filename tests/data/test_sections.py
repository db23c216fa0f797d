from __future__ import annotations

import json
import re

import pytest

from semicl_monai.data.sections import checked_sections, read_sections
from semicl_monai.utils import InputError, read_json


@pytest.fixture
def sections(tmp_path):
    """Write a datalist and return what is read of it."""

    def read(**content):
        (tmp_path / "lists.json").write_text(json.dumps(content))
        return read_sections(tmp_path / "lists.json")

    return read


def test_an_image_in_several_files_is_a_list_of_absolute_paths_named_by_the_first(sections, tmp_path):
    entry = {"image": ["i/a_0000.nii.gz", "i/a_0001.nii.gz"], "label": "l/a.nii.gz"}
    (record,) = sections(training=[entry])["training"]
    image = [str(tmp_path / "i/a_0000.nii.gz"), str(tmp_path / "i/a_0001.nii.gz")]
    assert record == {"image": image, "label": str(tmp_path / "l/a.nii.gz"), "case": "a"}


def test_absolute_paths_and_paths_upwards_are_followed(sections, tmp_path):
    found = sections(training=["/data/a.nii.gz", "../b.nii.gz"])["training"]
    assert [record["image"] for record in found] == ["/data/a.nii.gz", str(tmp_path.parent / "b.nii.gz")]


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_label_that_names_no_file_is_none(sections, nothing):
    assert sections(training=[{"image": "a.nii", "label": nothing}])["training"][0].keys() == {"image", "case"}


def test_other_entries_of_a_record_and_of_the_file_are_left_out(sections):
    found = sections(training=[{"image": "a.nii", "fold": 3}], name="x", labels={"1": "a"}, test=None)
    assert found.keys() == {"training", "unlabelled", "validation", "test"}
    assert found["training"][0].keys() == {"image", "case"}
    assert found["test"] == []


@pytest.mark.parametrize("image", [[], ["a.nii", ""], [["a.nii"]], None, 3])
def test_an_image_that_names_no_files_is_refused(sections, image):
    with pytest.raises(InputError, match=r"lists\.json: entry 1 of 'test' must be a path or "):
        sections(training=[], test=[{"image": image}])


def test_a_label_in_several_files_is_refused(sections):
    with pytest.raises(InputError, match="entry 2 of 'training' must be a path or "):
        sections(training=["a.nii", {"image": "b.nii", "label": ["c.nii"]}])


def test_a_list_of_lists_wins_over_the_names_of_channels(sections, tmp_path):
    found = sections(training=["a.nii"], channel_names={"0": "CT"})
    assert found["training"] == [{"image": str(tmp_path / "a.nii"), "case": "a"}]


def test_of_many_cases_without_a_label_some_are_named(sections):
    with pytest.raises(InputError, match="got none for v0, v1, v2, v3, v4 and 2 more"):
        sections(training=[], validation=[f"v{number}.nii" for number in range(7)])


def test_a_file_that_is_not_there_is_named_with_its_option(tmp_path):
    with pytest.raises(InputError, match=r"split_file .*nowhere\.json cannot be read: No such file"):
        read_json(tmp_path / "nowhere.json", "split_file")


@pytest.mark.parametrize(("listed", "there"), [(".nii.gz", ".nii"), (".nii", ".nii.gz")])
def test_listed_files_may_lie_there_under_the_other_ending(sections, tmp_path, listed, there):
    for name in ("a", "b", "a_seg", "c_0000", "c_0001"):
        (tmp_path / f"{name}{there}").touch()
    (tmp_path / f"b{listed}").touch()
    channels = {"image": [f"c_0000{listed}", f"c_0001{listed}"]}
    pair = {"image": f"a{listed}", "label": f"a_seg{listed}"}
    found = sections(training=[pair], unlabelled=[f"b{listed}", channels])
    image, label = (str(tmp_path / f"{name}{there}") for name in ("a", "a_seg"))
    assert found["training"] == [{"image": image, "label": label, "case": "a"}]
    plain, split = found["unlabelled"]
    assert plain["image"] == str(tmp_path / f"b{listed}")
    assert split["image"] == [str(tmp_path / f"c_{number:04d}{there}") for number in range(2)]


def test_testing_is_another_word_for_test(sections):
    found = sections(
        training=[],
        test=[{"image": "a.nii", "label": "a_seg.nii"}],
        testing=["b.nii", {"image": "c.nii", "label": "c_seg.nii"}],
    )
    assert [record["case"] for record in found["test"]] == ["a", "c"]


@pytest.mark.parametrize("key", ["val", "tests", "unlabelled_images"])
def test_a_list_of_images_under_another_name_is_refused(sections, key):
    with pytest.raises(InputError, match=rf"lists\.json: lists of images must be training, .* or test, got '{key}'"):
        sections(training=[], **{key: [{"image": "c.nii", "label": "c_seg.nii"}]})


@pytest.mark.parametrize("key", ["unlabled", "images"])
def test_a_list_of_paths_under_another_name_is_refused(sections, key):
    with pytest.raises(InputError, match=rf"lists of images must be training, .* or test, got '{key}'"):
        sections(training=[], **{key: ["a.nii.gz"]})
    sections(training=[], authors=["A. Nii", "B"])


@pytest.mark.parametrize("key", ["patient_id", "Patient", "subject-ID"])
def test_a_patient_under_another_name_is_refused(sections, key):
    entry = {"image": "a.nii", key: "P1"}
    with pytest.raises(
        InputError, match=rf"entry 1 of 'training': a patient must be called 'patient', got '{key}': 'P1'"
    ):
        sections(training=[entry])
    sections(training=[{**entry, "patient": "P1"}, {"image": "b.nii", "patient_age": 63}])


@pytest.mark.parametrize("key", ["mask", "seg", "lable"])
def test_a_label_under_another_name_is_refused(sections, key):
    with pytest.raises(
        InputError, match=rf"entry 1 of 'training': a label must be called 'label', got '{key}': b\.nii"
    ):
        sections(training=[{"image": "a.nii", key: "b.nii"}])


@pytest.mark.parametrize("image", ["a.nii", ["b.nii", "./a.nii"]])
@pytest.mark.parametrize("key", ["label", "weak_label"])
def test_a_label_that_is_its_image_is_refused(sections, image, key):
    with pytest.raises(
        InputError, match=rf"entry 1 of 'training': '{key}' must be another file than 'image', got .*a\.nii"
    ):
        sections(training=[{"image": image, key: "a.nii"}])


EMPTY = {"training": [], "unlabelled": [], "validation": [], "test": []}


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        (None, "wanted the lists training, unlabelled, validation, test, got None."),
        ({"training": []}, "wanted the lists training, unlabelled, validation, test, got {'training': []}."),
        ({**EMPTY, "test": [{"image": "a.nii"}]}, "case 0 of test must have 'case' as text, got None."),
        ({**EMPTY, "training": [{"case": "a", "image": 3}]}, "case 0 of training must have 'image' as text, got 3."),
        (EMPTY, "no case was found."),
    ],
)
def test_a_format_of_ones_own_that_lists_something_else_is_refused(tmp_path, sections, message):
    with pytest.raises(InputError, match=re.escape(f"dataset_format of {tmp_path}: {message}")):
        checked_sections(sections, tmp_path)


def test_an_entry_may_name_its_case_as_folders_of_series_have_equal_names(sections):
    found = sections(training=[{"image": "p1/ct", "case": "p1"}, {"image": "p2/ct", "case": " p2 "}])["training"]
    assert [record["case"] for record in found] == ["p1", "p2"]


def test_labels_of_every_format_must_be_called_label(sections):
    for name in ("mask.nrrd", "mask.seg.nrrd", "mask.mha"):
        with pytest.raises(InputError, match=f"a label must be called 'label', got 'mask': {re.escape(name)}"):
            sections(training=[{"image": "a.nrrd", "mask": name}])
