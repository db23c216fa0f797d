from __future__ import annotations

import json

import pytest

from semicl_monai.data import LabelRules, read_description, read_label_rules
from semicl_monai.data.description import check_class_values, split_names
from semicl_monai.utils import InputError


@pytest.fixture
def describe(tmp_path):
    """Write a description and return what is read of it."""

    def read(**content):
        (tmp_path / "dataset.json").write_text(json.dumps(content))
        return read_description(tmp_path / "dataset.json")

    return read


def test_the_decathlon_names_values(describe):
    labels = {"0": "background", "1": "Anterior", "2": "Posterior"}
    assert describe(modality={"0": "MRI"}, labels=labels) == (["MRI"], {1: "Anterior", 2: "Posterior"})


def test_nnunet_gives_values_to_names(describe):
    labels = {"background": 0, "Left ventricle": 500, "LA": "420"}
    channels = {"0": "T1", "1": "T2"}
    assert describe(channel_names=channels, labels=labels) == (["T1", "T2"], {500: "Left ventricle", 420: "LA"})


def test_the_names_of_nnunet_may_be_numbers(describe):
    assert describe(labels={"0": 0, "1": 3})[1] == {3: "1"}


def test_a_modality_may_be_a_word(describe):
    assert describe(modality="CT")[0] == ["CT"]


@pytest.mark.parametrize("key", ["modality", "channel_names"])
def test_channels_may_be_a_list_and_blanks_around_a_name_are_no_part_of_it(describe, key):
    assert describe(**{key: [" CT", "PET "]})[0] == describe(**{key: {"0": "CT ", "1": " PET"}})[0] == ["CT", "PET"]


def test_channels_come_in_the_order_of_their_numbers(describe):
    names = {str(number): f"b{number}" for number in range(11)}
    assert describe(channel_names=dict(sorted(names.items())))[0] == list(names.values())
    assert describe(modality={"1": "T2", "0": "T1"})[0] == ["T1", "T2"]


@pytest.mark.parametrize("names", [{"CT": 0}, {"0": ["CT"]}, {"0": None}, 7])
def test_the_name_of_a_channel_that_is_no_text_is_refused(describe, names):
    with pytest.raises(InputError, match=r"dataset\.json: 'modality' must name each channel by its number, .*, got"):
        describe(modality=names)


@pytest.mark.parametrize("content", [{}, {"labels": {}, "modality": {}}, {"labels": None, "channel_names": None}])
def test_what_is_not_named_is_not_known(describe, content):
    assert describe(**content) == ([], {})


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"a": 1.5}, "must give each name one whole number, got 1.5 for a"),
        ({"a": -1}, "must give each name one whole number, got -1 for a"),
        ({"a": True}, "must give each name one whole number, got True for a"),
        ({"one": "two"}, "must give each name one whole number, got 'two' for one"),
        ({"a": 1, "b": 1}, "must differ, got 1 for a and b"),
        ({"01": "a", "1": "b"}, "must differ, got 1 for a and b"),
        ({"1": "a", "2": "a"}, "must have names that differ, none of them 'mean', got 'a'"),
        ({"a": 1, "mean": 2}, "must have names that differ, none of them 'mean', got 'mean'"),
        (["background", "a"], "must be an object of names and values, got a list"),
        ({"a": 1, "b": 3, "ignore": 2}, "must give 'ignore' one value above all others, which go to 3, got 2"),
        ({"a": 1, "ignore": 0}, "must give 'ignore' one value above all others, which go to 1, got 0"),
        ({"a": 1, "ignore": [2, 3]}, r"must give each name one whole number, got \[2, 3\] for ignore"),
        ({"a": 1, "ignore": 2, "Ignore ": 3}, "must give 'ignore' one value above all others, which go to 1, got 2, 3"),
        ({"whole": [1, 2], "core": 1.5}, "must give each name one whole number, got 1.5 for core"),
        ({"whole": [1, 2], "core": [0, 1]}, r"must give a region different values from 1, got \[0, 1\] for core"),
        ({"whole": [1, 2], "core": []}, r"must give a region different values from 1, got \[\] for core"),
        ({"whole": [1, 1]}, r"must give a region different values from 1, got \[1, 1\] for whole"),
        ({"whole": [1, 2], "ignore": 2}, "must give 'ignore' one value above all others, which go to 2, got 2"),
        ({"0": "kidney", "1": "Background"}, "must name a class for 1, got 'Background'; background is 0"),
        ({"1": " "}, "must name a class for 1, got ' '"),
        ({"1": "a\nb"}, r"must have names of one line, got 'a.+nb' for 1"),
    ],
)
def test_labels_that_are_not_one_value_a_class_are_refused(describe, labels, message):
    with pytest.raises(InputError, match=rf"dataset\.json: 'labels' {message}"):
        describe(labels=labels)


@pytest.mark.parametrize("name", ["$print(1)", "@epochs", "%epochs"])
@pytest.mark.parametrize("content", [{"labels": {"1": "%s"}}, {"labels": {"%s": 1}}, {"channel_names": {"0": "%s"}}])
def test_a_name_that_a_config_would_run_is_refused(describe, content, name):
    named = json.loads(json.dumps(content).replace("%s", name))
    with pytest.raises(InputError, match=r"dataset\.json: a name must not begin with \$, @ or %: .*got '[$@%]"):
        describe(**named)


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"datalist .*dataset\.json cannot be read"):
        read_description(tmp_path / "dataset.json")


@pytest.mark.parametrize(
    "content", [{"labels": {"1": "lobe#1"}}, {"labels": {"a::b": 1}}, {"channel_names": {"0": "T1#"}}]
)
def test_a_name_that_a_config_would_split_is_refused(describe, content):
    with pytest.raises(
        InputError, match=r"dataset\.json: a name must not hold '#' or '::', which separate names in MONAI"
    ):
        describe(**content)


@pytest.mark.parametrize(
    ("labels", "class_names", "label_values", "fits"),
    [
        ({"1": "a", "2": "b"}, ["a", "b"], None, True),
        ({"1": "a", "2": "b"}, ["b", "a"], None, False),
        ({"b": 1, "a": 2}, ["a", "b"], None, False),
        ({"b": 1, "A": 2}, ["B", "a"], None, True),
        ({"1": "a", "2": "b"}, ["left", "right"], None, True),
        ({"1": "a", "2": "b"}, ["left", "a"], None, False),
        ({"500": "a", "600": "b"}, ["a", "b"], [500, 600], True),
        ({"500": "a", "600": "b"}, ["b", "a"], [500, 600], False),
        ({"1": "a", "2": "b"}, ["a", "b"], [500, 600], True),
        ({"1": "a", "2": ["b"]}, ["b", "a"], None, True),
        ({"1": "a", "2": "b", "3": "ignore"}, ["b", "a"], None, False),
        ({}, ["b", "a"], None, True),
    ],
)
def test_classes_stand_in_the_order_of_their_values(tmp_path, labels, class_names, label_values, fits):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"labels": labels}))
    if fits:
        check_class_values(file, class_names, label_values)
    else:
        with pytest.raises(InputError, match=r"dataset\.json calls the label value \d+ '\w+', but class \d of"):
            check_class_values(file, class_names, label_values)


BRATS = {"background": 0, "whole tumour": [1, 2, 3], "tumour core": [2, 3], "enhancing": 3}


@pytest.mark.parametrize(
    "labels", [{"background": 0, "a": 1, "ignore": 2}, {"0": "background", "1": "a", "2": "Ignore"}]
)
def test_the_label_to_ignore_is_no_class(tmp_path, labels):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"labels": labels}))
    assert read_description(file)[1] == {1: "a"}
    assert read_label_rules(file) == LabelRules(ignore_value=2)


@pytest.mark.parametrize("ignored", [{}, {"ignore": 4}])
def test_regions_are_read_with_the_order_of_their_values_in_masks(tmp_path, ignored):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"labels": BRATS | ignored, "regions_class_order": [1, 2, 3]}))
    rules = read_label_rules(file)
    assert rules.regions == {"whole tumour": (1, 2, 3), "tumour core": (2, 3), "enhancing": (3,)}
    assert (rules.regions_class_order, rules.ignore_value, rules.values()) == (
        (1, 2, 3),
        ignored.get("ignore"),
        [1, 2, 3],
    )
    assert read_description(file)[1] == {}


def test_a_list_of_one_value_is_that_value_as_in_nnunet(describe):
    assert describe(labels={"background": 0, "a": [1], "b": 2})[1] == {1: "a", 2: "b"}


@pytest.mark.parametrize("order", [None, [1, 2], [1, 2, 4], [1, 2, "3"], [1, 2, True], {"1": 1}])
def test_an_order_that_does_not_fit_the_regions_is_refused(describe, order):
    content = {"labels": BRATS} | ({} if order is None else {"regions_class_order": order})
    with pytest.raises(
        InputError,
        match=r"'regions_class_order' must be a list of 3 values of labels, .* whole tumour, tumour core, enh",
    ):
        describe(**content)


@pytest.mark.parametrize(
    ("regions", "values", "fits"),
    [
        ([[1, 2, 3], [2, 3], [3]], None, True),
        ([[1, 2], [2], [3]], None, False),
        ([[1, 2, 3], [2, 3], [3]], [1, 2, 7], True),  # label files may hold class numbers
        ([[1, 2, 3], [2, 3], [1]], None, False),
    ],
)
def test_regions_are_those_of_the_file(tmp_path, regions, values, fits):
    file = tmp_path / "dataset.json"
    file.write_text(json.dumps({"labels": BRATS, "regions_class_order": [1, 2, 3]}))
    if fits:
        check_class_values(file, ["Whole tumour", "tumour core", "enhancing"], values, regions)
    else:
        with pytest.raises(InputError, match=r"dataset\.json gives the values \[.*\] to '.*', but regions give \["):
            check_class_values(file, ["Whole tumour", "tumour core", "enhancing"], values, regions)


def test_names_of_an_option_are_split_into_classes_and_the_value_to_ignore():
    assert split_names({1: "a", 5: "Ignore"}, "class_names") == ({1: "a"}, LabelRules(ignore_value=5))
    assert split_names({1: "a"}, "class_names") == ({1: "a"}, LabelRules())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({1: "ignore", 2: "a"}, "class_names must give 'ignore' one value above all others, which go to 2, got 1"),
        ({1: "a", 2: "ignore", 3: "Ignore"}, "class_names must give 'ignore' one value above all others, .* got 2, 3"),
        ({1: "mean"}, "class_names must have names that differ, none of them 'mean', got 'mean'"),
        ({1: "background", 2: "a"}, "class_names must name a class for 1, got 'background'; background is 0"),
        ({1: "$print(1)"}, r"class_names: a name must not begin with \$, @ or %: .*got '\$print"),
        ({1: "a#b"}, r"class_names: a name must not hold '#' or '::', which separate names in MONAI"),
    ],
)
def test_names_of_an_option_that_cannot_be_used_are_refused(names, message):
    with pytest.raises(InputError, match=message):
        split_names(names, "class_names")
