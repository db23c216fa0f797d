from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from semicl_monai.study import holm, interval_of, labels_needed, mean_of, p_values, read_entries


def values_of(table):
    """``{split: [values]}`` as a study keeps them."""
    return {(split, f"case {n}"): value for split, column in table.items() for n, value in enumerate(column)}


def test_the_mean_is_over_splits_and_over_their_cases_that_have_a_value():
    assert mean_of(values_of({"0": [0.1, 0.4, math.nan], "1": [0.7], "2": [math.nan]})) == pytest.approx(
        (0.25 + 0.7) / 2
    )
    assert math.isnan(mean_of(values_of({"0": [math.nan]})))


def test_the_interval_is_that_of_a_bootstrap_over_splits_and_over_their_cases_in_plain_loops():
    draw = random.Random(1)
    table = {str(number): [draw.gauss(level, 0.1) for _ in range(9)] for number, level in enumerate((0.6, 0.85, 0.3))}
    of_splits = [sum(split) / 9 for split in table.values()]
    # the splits further from their mean by the square root of 3 / 2
    moved = [
        [value + (math.sqrt(3 / 2) - 1) * (mean - sum(of_splits) / 3) for value in split]
        for split, mean in zip(table.values(), of_splits, strict=True)
    ]
    means = []
    for _ in range(20000):
        splits = [draw.choice(moved) for _ in table]
        cases = [draw.choice(split) for split in splits for _ in split]
        means.append(sum(cases) / len(cases))
    means.sort()
    low, high = interval_of(values_of(table))
    assert low == pytest.approx(means[500], abs=0.01)
    assert high == pytest.approx(means[19500], abs=0.01)
    # over the cases alone it would be about half as wide
    assert high - low > 0.35


def test_with_one_split_the_interval_is_that_over_its_cases():
    rng = np.random.default_rng(0)
    column = rng.normal(0.8, 0.05, 400)
    low, high = interval_of(values_of({"0": column}))
    half = 1.96 * column.std() / math.sqrt(len(column))
    assert (low, high) == pytest.approx((column.mean() - half, column.mean() + half), abs=3e-4)


def test_of_one_case_a_patient_the_interval_is_that_of_earlier_versions():
    values = values_of({split: np.random.default_rng(int(split)).random(7).tolist() for split in ("0", "1", "2")})
    wanted = (0.34222418533694116, 0.6569070360004148)
    assert interval_of(values) == wanted
    assert interval_of(values, patients={f"case {n}": f"patient {9 - n}" for n in range(5)}) == wanted


def test_the_interval_draws_patients_with_all_their_cases_in_plain_loops():
    draw = random.Random(1)
    table = {"0": [draw.gauss(0.5 + 0.1 * (n // 2), 0.01) for n in range(9)], "1": [0.8] * 9}
    patients = {f"case {n}": f"patient {n // 2}" for n in range(9)}  # the last one has one case
    of_splits = [sum(split) / 9 for split in table.values()]
    groups = []
    for split, mean in zip(table.values(), of_splits, strict=True):
        moved = [value + (math.sqrt(2) - 1) * (mean - sum(of_splits) / 2) for value in split]
        groups.append([moved[start : start + 2] for start in range(0, 9, 2)])
    means = []
    for _ in range(20000):
        of_drawn = []
        for split in draw.choices(groups, k=2):
            drawn = [value for patient in draw.choices(split, k=5) for value in patient]
            of_drawn.append(sum(drawn) / len(drawn))
        means.append(sum(of_drawn) / 2)
    means.sort()
    assert interval_of(values_of(table), patients=patients) == pytest.approx((means[500], means[19500]), abs=0.01)


def test_cases_without_a_value_do_not_count():
    assert interval_of(values_of({"0": [0.5, 0.5, math.nan], "1": [math.nan]})) == pytest.approx((0.5, 0.5))


def test_splits_of_other_sizes_count_alike_in_the_mean_and_in_the_interval():
    values = values_of({"0": [0.1] * 9, "1": [0.9]})
    assert mean_of(values) == pytest.approx(0.5)
    half = 0.4 * math.sqrt(2)
    assert interval_of(values) == pytest.approx((0.5 - half, 0.5 + half))


def test_the_interval_of_a_few_splits_is_as_wide_as_they_vary():
    # of normal splits without a difference of cases: 1.96 standard errors, but for the few of them
    rng = np.random.default_rng(0)
    means = rng.normal(0.8, 0.02, 40)
    low, high = interval_of(values_of({f"{number}": [value] for number, value in enumerate(means)}))
    assert (high - low) / 2 == pytest.approx(1.96 * means.std(ddof=1) / math.sqrt(40), rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_holm_rejects_exactly_what_his_procedure_rejects(seed):
    rng = random.Random(seed)
    values = [rng.random() ** 3 for _ in range(6)]
    corrected = holm(values)
    for alpha in (0.01, 0.05, 0.2, 0.5):
        rejected = set()
        for rank, index in enumerate(sorted(range(6), key=values.__getitem__)):
            if values[index] > alpha / (6 - rank):
                break
            rejected.add(index)
        assert {index for index in range(6) if corrected[index] <= alpha} == rejected


def test_no_rival_needs_no_correction():
    assert holm([]) == []


def test_the_test_is_wilcoxons_signed_rank_on_the_pairs(tables):
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((8, 2)), rng.random((8, 2))
    best, rival = read_entries(tables({("a", 6): {0: ours}, ("b", 6): {0: theirs}}))
    differences = (ours - theirs).mean(1)
    ranks = np.abs(differences).argsort().argsort() + 1
    observed = min(ranks[differences > 0].sum(), ranks[differences < 0].sum())
    # exact: of all 2 ** 8 signs, how many have a rank sum as small
    sums = [
        sum(r for r, keep in zip(ranks, signs, strict=True) if keep) for signs in itertools.product((0, 1), repeat=8)
    ]
    exact = min(1, 2 * sum(total <= observed for total in sums) / 2**8)
    assert p_values(best, [rival]) == pytest.approx([exact])


def test_a_volume_of_several_splits_is_one_pair(tables):
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((6, 2)), rng.random((6, 2))
    splits = {"a": {0: ours, 1: ours}, "b": {0: theirs, 1: theirs}}
    once = read_entries(tables({(method, 6): {0: of_it[0]} for method, of_it in splits.items()}))
    twice = read_entries(tables({(method, 6): of_it for method, of_it in splits.items()}))
    assert p_values(twice[0], twice[1:]) == p_values(once[0], once[1:])


def test_the_scans_of_a_patient_are_one_pair(tables):
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((12, 2)), rng.random((12, 2))
    whose = {f"case_{number}": f"patient_{number // 2}" for number in range(12)}
    best, rival = read_entries(tables({("a", 6): {0: ours}, ("b", 6): {0: theirs}}, patients=whose))
    of_patients = [scores.reshape(6, 2, 2).mean(1) for scores in (ours, theirs)]
    alone = read_entries(tables({("a", 6): {0: of_patients[0]}, ("b", 6): {0: of_patients[1]}}))
    assert p_values(best, [rival]) == pytest.approx(p_values(alone[0], alone[1:]))
    assert best.patients["case_3"] == "patient_1"


def test_the_test_is_over_the_splits_that_both_have_run_on(tables):
    rng = np.random.default_rng(0)
    ours, theirs = ({seed: rng.random((6, 2)) for seed in seeds} for seeds in ((0, 1), (1, 2)))
    best, rival = read_entries(tables({("a", 6): ours, ("b", 6): theirs}))
    alone = read_entries(tables({("a", 6): {1: ours[1]}, ("b", 6): {1: theirs[1]}}))
    assert p_values(best, [rival]) == p_values(alone[0], alone[1:])
    assert p_values(best, [rival])[0] < 1


def test_equal_results_are_not_different(tables):
    same = np.full((5, 2), 0.5)
    best, rival = read_entries(tables({("a", 6): {0: same}, ("b", 6): {0: same}}))
    assert p_values(best, [rival]) == [1.0]


@pytest.mark.parametrize(
    ("dice", "wanted"),
    [
        (0.6, 6),
        (0.65, math.sqrt(6 * 12)),
        (0.7, 12),
        (0.75, math.sqrt(12 * 120)),
        (0.8, 120),
        (0.81, math.inf),
        (0.5, math.nan),
    ],
)
def test_the_labels_that_a_network_from_scratch_needs_are_interpolated_along_their_logarithm(dice, wanted):
    assert labels_needed(dice, {12: 0.7, 6: 0.6, 120: 0.8}) == pytest.approx(wanted, nan_ok=True)


def test_where_more_labels_made_it_worse_the_fewer_count():
    scratch = {6: 0.75, 12: 0.5, 24: 1.0}
    assert labels_needed(0.75, scratch) == pytest.approx(6)
    assert labels_needed(0.875, scratch) == pytest.approx(math.sqrt(12 * 24))


@pytest.mark.parametrize("dice", [0.3, 0.5, 0.6, 0.9])
def test_no_dice_needs_no_number_of_labels(dice):
    assert math.isnan(labels_needed(math.nan, {6: 0.5, 24: 1.0}))
    # amounts without a Dice, or without a label, do not count
    assert labels_needed(dice, {6: 0.5, 12: math.nan, 24: 0.8, 0: 0.1}) == pytest.approx(
        labels_needed(dice, {6: 0.5, 24: 0.8}), nan_ok=True
    )


@pytest.mark.parametrize("scratch", [{}, {6: math.nan}, {0: 0.5}])
def test_a_network_from_scratch_without_a_point_tells_nothing(scratch):
    assert math.isnan(labels_needed(0.5, scratch))


def test_differences_that_only_rounding_tells_apart_are_ties(tables):
    # wins of 0.1 and losses of 0.1, which floating point has as 0.1 plus or minus 1e-17
    rng = np.random.default_rng(0)
    base = rng.integers(2000, 8000, 30) / 10000
    step = np.where(np.arange(30) < 20, 0.1, -0.1)
    theirs, ours = np.stack([base] * 2, 1), np.stack([base + step] * 2, 1)
    best, rival = read_entries(tables({("a", 6): {0: ours}, ("b", 6): {0: theirs}}))
    assert len({round(float(d), 18) for d in (ours - theirs)[:, 0]}) > 2
    # with one rank for all, W is that of a sign test: normal approximation with the variance of ties, by hand
    n, rank = 30, 15.5
    z = (20 * rank - n * rank / 2) / math.sqrt(n * rank**2 / 4)
    assert p_values(best, [rival]) == pytest.approx([math.erfc(z / math.sqrt(2))], rel=1e-6)


def test_noise_of_rounding_is_no_difference(tables):
    ours = np.full((6, 2), 0.3)
    best, rival = read_entries(tables({("a", 6): {0: ours}, ("b", 6): {0: ours + np.arange(12).reshape(6, 2) * 1e-12}}))
    assert p_values(best, [rival]) == [1.0]


@pytest.mark.parametrize("theirs", [[[math.nan, math.nan]] * 3, [[0.5, 0.5]]])
def test_one_case_or_none_is_no_evidence(tables, theirs):
    best, rival = read_entries(tables({("a", 6): {0: [[0.6, 0.6]] * len(theirs)}, ("b", 6): {0: theirs}}))
    assert p_values(best, [rival]) == [1.0]


def test_the_interval_of_no_value_is_none():
    assert np.isnan(interval_of(values_of({"0": [math.nan], "1": [math.nan]}))).all()
    assert interval_of(values_of({"0": [0.5]})) == (0.5, 0.5)
