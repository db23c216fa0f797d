from __future__ import annotations

import hashlib
import json
import random

import numpy as np
import pytest

from semicl_monai.data import make_split
from semicl_monai.utils import InputError

CASES = [f"case_{number:03d}" for number in range(200)]


def sizes(split):
    return {part: len(names) for part, names in split.items()}


def test_200_cases_give_120_40_40_and_five_per_cent_is_six():
    split = make_split(CASES, labelled_fraction=0.05)
    assert sizes(split) == {"labelled": 6, "unlabelled": 114, "validation": 40, "test": 40}


@pytest.mark.parametrize("num_cases", [3, 4, 5, 7, 23])
def test_every_case_is_in_exactly_one_part(num_cases):
    split = make_split(CASES[:num_cases])
    assert sorted(name for names in split.values() for name in names) == CASES[:num_cases]


@pytest.mark.parametrize("seed", range(4))
def test_labelled_subsets_are_nested_and_leave_the_other_parts_alone(seed):
    five, ten, twenty = (make_split(CASES, fraction, seed) for fraction in (0.05, 0.1, 0.2))
    assert set(five["labelled"]) < set(ten["labelled"]) < set(twenty["labelled"])
    assert ten["labelled"][: len(five["labelled"])] == five["labelled"]
    for part in ("validation", "test"):
        assert five[part] == ten[part] == twenty[part]


def test_the_order_of_the_cases_does_not_matter():
    shuffled = random.Random(0).sample(CASES, len(CASES))
    assert make_split(shuffled, 0.1, split_seed=3) == make_split(CASES, 0.1, split_seed=3)


def test_the_same_seed_gives_the_same_split_and_another_seed_another():
    assert make_split(CASES, split_seed=1) == make_split(CASES, split_seed=1)
    assert make_split(CASES, split_seed=1) != make_split(CASES, split_seed=2)


@pytest.mark.parametrize(
    ("labelled_fraction", "num_labelled"),
    [(1.0, 120), (1, 1), ("1.0", 120), ("1", 1), ("0.05", 6), ("6", 6), (120, 120), (np.float64(0.1), 12), (1e-1, 12)],
)
def test_a_float_is_a_fraction_and_an_int_a_count_also_as_strings(labelled_fraction, num_labelled):
    assert len(make_split(CASES, labelled_fraction)["labelled"]) == num_labelled


def test_halves_are_rounded_up_in_decimal():
    # in binary 0.145 * 100 is 14.499999999999998
    assert len(make_split(CASES[:100], 0.145, ratio=(1, 0, 0))["labelled"]) == 15


def test_a_part_with_ratio_zero_is_not_cut():
    assert sizes(make_split(CASES[:8], ratio=(3, 1, 0))) == {
        "labelled": 6,
        "unlabelled": 0,
        "validation": 2,
        "test": 0,
    }


def test_a_fraction_without_a_volume_says_the_smallest_usable_one():
    with pytest.raises(InputError, match=r"labelled_fraction 0\.01 of 12 training volumes .* fraction is 0\.0417\."):
        make_split(CASES[:20], 0.01)
    assert len(make_split(CASES[:20], 0.0417)["labelled"]) == 1


def test_more_labelled_volumes_than_there_are_is_refused():
    with pytest.raises(InputError, match="asks for 13 volumes, but there are 12 training volumes"):
        make_split(CASES[:20], 13)


@pytest.mark.parametrize("value", [True, False, 0, -1, 0.0, -0.5, 1.5, 6.0, float("nan"), "5%", "", "all", None, "0"])
def test_a_labelled_fraction_without_meaning_is_refused(value):
    with pytest.raises(InputError, match=r"labelled_fraction must be a fraction above 0\.0"):
        make_split(CASES, value)


@pytest.mark.parametrize(("num_cases", "part"), [(0, "training"), (1, "validation"), (2, "validation")])
def test_an_empty_part_is_refused_by_name(num_cases, part):
    with pytest.raises(InputError, match=f"the {part} part is empty.* got {num_cases}"):
        make_split(CASES[:num_cases])


def test_a_case_named_twice_is_refused():
    with pytest.raises(InputError, match="more than once: b"):
        make_split(["a", "b", "b", "c", "d"])


@pytest.mark.parametrize("split_seed", [-1, 2**32, 0.5, "0", True])
def test_a_seed_out_of_range_is_refused(split_seed):
    with pytest.raises(InputError, match="split_seed must be a whole number"):
        make_split(CASES, split_seed=split_seed)


@pytest.mark.parametrize("ratio", [(1, 1), (0, 1, 1), (3, -1, 1)])
def test_a_ratio_without_meaning_is_refused(ratio):
    with pytest.raises(InputError, match="ratio must be three numbers"):
        make_split(CASES, ratio=ratio)


# as the build of 2026-11-28 has cut them, before there were patients
STORED = [
    (
        (12, 0.5, 7, (3, 1, 1)),
        {
            "labelled": ["case_007", "case_010", "case_002", "case_005"],
            "unlabelled": ["case_000", "case_001", "case_011", "case_008"],
            "validation": ["case_003", "case_006"],
            "test": ["case_009", "case_004"],
        },
    ),
    (
        (9, 2, 3, (2, 1, 1)),
        {
            "labelled": ["case_006", "case_002"],
            "unlabelled": ["case_007", "case_004", "case_005"],
            "validation": ["case_000", "case_003"],
            "test": ["case_001", "case_008"],
        },
    ),
    (
        (8, 1, 1, (3, 1, 0)),
        {
            "labelled": ["case_007"],
            "unlabelled": ["case_002", "case_001", "case_006", "case_000", "case_004"],
            "validation": ["case_003", "case_005"],
            "test": [],
        },
    ),
]
STORED_SHA256 = {
    (0.05, 0): "fd90aaff07e279ac8a37c07d478b49d396889f25ce79be591588b04ea906daed",
    (6, 1): "2cd24c42e1434d910db042d71d9ebafb1d3ae4eedd203be4f13a6dba2b5f8816",
    (1.0, 2): "b35bda6d56df604cac47f9dce87172b9ac06efb73e31b56c17921d663a085fc5",
}


# a patient's name sorts otherwise than its case's
@pytest.mark.parametrize("patients", [None, {case: str(97 * number % 200) for number, case in enumerate(CASES)}])
def test_where_each_case_is_a_patient_splits_are_those_of_earlier_versions(patients):
    for (number, fraction, seed, ratio), wanted in STORED:
        assert make_split(CASES[:number], fraction, seed, ratio, patients=patients) == wanted
    for (fraction, seed), wanted in STORED_SHA256.items():
        split = make_split(CASES, fraction, seed, patients=patients)
        assert hashlib.sha256(json.dumps(split).encode()).hexdigest() == wanted


@pytest.mark.parametrize("seed", range(4))
def test_without_validation_its_part_trains_last_and_the_test_part_stays(seed):
    whole, more = make_split(CASES, 1.0, seed), make_split(CASES, 1.0, seed, cut_validation=False)
    assert more["labelled"] == whole["labelled"] + whole["validation"]
    assert (more["validation"], more["test"]) == ([], whole["test"])
    six, six_of_more = (make_split(CASES, 6, seed, cut_validation=cut) for cut in (True, False))
    assert six_of_more["labelled"] == six["labelled"]
    assert six_of_more["unlabelled"] == six["unlabelled"] + six["validation"]
    # a fraction is of the enlarged training part
    assert len(make_split(CASES, 0.05, seed, cut_validation=False)["labelled"]) == 8


@pytest.mark.parametrize(
    ("number", "ratio", "wanted"),
    [
        (1, (3, 1, 1), (1, 0, 0)),
        (2, (3, 1, 1), (2, 0, 0)),
        (3, (3, 1, 1), (2, 0, 1)),
        (1, (3, 1, 0), (1, 0, 0)),
        (2, (2, 1, 1), (1, 0, 1)),
        (1, (1, 1, 3), (1, 0, 0)),
    ],
)
def test_without_validation_one_labelled_volume_is_enough(number, ratio, wanted):
    split = make_split(CASES[:number], ratio=ratio, cut_validation=False)
    assert tuple(len(split[part]) for part in ("labelled", "validation", "test")) == wanted
    # what is evaluated is the same, whatever the training was told
    assert make_split(CASES[:number], ratio=ratio, strict=False)["test"] == split["test"]


@pytest.mark.parametrize("number", [1, 2])
def test_the_refusal_of_few_labelled_volumes_names_the_way_out(number):
    with pytest.raises(InputError, match=rf"validation part is empty: .* got {number}; --validation none trains with"):
        make_split(CASES[:number])
    with pytest.raises(InputError, match=r"too few labelled cases to cut 3:1:1, got 0\.$"):
        make_split([], cut_validation=False)


def test_what_only_training_needs_is_not_asked_of_an_evaluation():
    assert sizes(make_split(CASES[:20], 16, strict=False)) == {
        "labelled": 12,
        "unlabelled": 0,
        "validation": 4,
        "test": 4,
    }
    assert sizes(make_split([], strict=False)) == dict.fromkeys(("labelled", "unlabelled", "validation", "test"), 0)


def test_a_patient_is_in_one_part_with_all_cases():
    patients = {case: case[:-1] for case in CASES[:97]}  # the last one has seven
    split = make_split(CASES[:97], 0.5, 5, patients=patients)
    of_parts = [{patients[case] for case in cases} for cases in split.values()]
    assert [len(part) for part in of_parts] == [3, 3, 2, 2]
    assert sorted(case for cases in split.values() for case in cases) == CASES[:97]
    assert len(set.union(*of_parts)) == 10
    with pytest.raises(InputError, match=r"labelled_fraction 0\.01 of 6 training patients gives no patient;"):
        make_split(CASES[:97], 0.01, patients=patients)
    with pytest.raises(InputError, match="too few labelled patients to cut 3:1:1, got 2; --validation none"):
        make_split(CASES[:20], patients=patients)
