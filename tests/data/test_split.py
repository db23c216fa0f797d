from __future__ import annotations

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
