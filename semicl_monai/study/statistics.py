"""Intervals over volumes and splits, tests of one method against others, and the labels that a method saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import wilcoxon

from semicl_monai.handlers.metrics import sums_and_counts
from semicl_monai.study.entries import Entry, Values

DECIMALS = 9  # of a difference of Dice; further decimals are rounding noise


def mean_of(values: Values) -> float:
    """Return the mean over the splits of the mean over the cases of each split. Values of nan are left out."""
    return float(np.mean([split.mean() for split in _by_split(values)]))


def interval_of(
    values: Values, resamples: int = 9999, seed: int = 0, patients: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of :func:`mean_of` by a hierarchical bootstrap over splits, then over their patients.

    Splits and patients are drawn with replacement. A patient is drawn with all cases. Splits drawn from S splits have
    only (S - 1) / S of the variance of splits. Hesterberg calls this the narrowness bias. To correct it, the means of
    the splits are moved away from each other by the square root of S / (S - 1). With two or three splits, the interval
    is still too narrow, because they show little of how other splits would differ. With a single split, the interval is
    that over its patients.

    Args:
        values: value of each split and case.
        resamples: number of draws.
        seed: seed of the draws.
        patients: the patient of each case. A case without an entry is a patient of its own.

    References:
        Saravanan et al., Application of the hierarchical bootstrap to multi-level data in neuroscience, 2020.
        https://arxiv.org/abs/2007.07797
        Hesterberg, What teachers should know about the bootstrap, The American Statistician 2015.
        https://arxiv.org/abs/1411.5279
    """
    rng, splits, center = np.random.default_rng(seed), _by_split(values), mean_of(values)
    names = _by_split(values, patients or {})
    widening = np.sqrt(len(splits) / max(1, len(splits) - 1))
    drawn = rng.integers(len(splits), size=(resamples, len(splits)))
    means = np.empty(drawn.shape)
    for number, (split, patient) in enumerate(zip(splits, names, strict=True)):
        places = drawn == number
        moved = split + (widening - 1) * (split.mean() - center)
        sums, counts = sums_and_counts(moved, patient)
        picks = rng.integers(len(sums), size=(places.sum(), len(sums)))
        means[places] = sums[picks].sum(1) / counts[picks].sum(1)
    low, high = np.percentile(means.mean(1), [2.5, 97.5])
    return float(low), float(high)


def _by_split(values: Values, patients: Mapping[str, str] | None = None) -> list[np.ndarray]:
    """Return the finite values of each split, or the patients of these values if ``patients`` are given."""
    splits: dict[str, list[float | str]] = defaultdict(list)
    for (split, case), value in values.items():
        if np.isfinite(value):
            splits[split].append(value if patients is None else patients.get(case, case))
    return [np.array(split) for split in splits.values()] or [np.array([np.nan])]


def p_values(best: Entry, rivals: Sequence[Entry]) -> list[float]:
    """Return the p-values of the paired Wilcoxon signed-rank test of ``best`` against each rival, corrected by Holm.

    The test is two-sided and uses the splits that both methods have run on. Without a common split, p is 1. Each
    patient counts once. A pair is the two mean Dice values of a patient, over the classes, the patient's cases and the
    splits that test them. Patients of one split share a trained network, but the test treats them as independent. Its
    result holds for these networks, not for networks from other training volumes.

    References:
        Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1945. Holm, A Simple Sequentially
        Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
    """
    return holm([_p_value(best.dice, rival.dice, {**rival.patients, **best.patients}) for rival in rivals])


def _p_value(ours: Values, theirs: Values, patients: Mapping[str, str]) -> float:
    of_patients: dict[str, list[float]] = defaultdict(list)
    for (split, case), value in ours.items():
        difference = value - theirs.get((split, case), np.nan)
        if np.isfinite(difference):
            of_patients[patients.get(case, case)].append(difference)
    # rounded: equal differences must have equal ranks, even if their last digits differ
    differences = np.round([np.mean(of_patient) for of_patient in of_patients.values()], DECIMALS)
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction for the number of tests.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(values)
    steps = np.asarray(values)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected.tolist()


def labels_needed(dice: float, scratch: Mapping[float, float]) -> float:
    """Return the number of labelled volumes that a network from scratch needs for a mean Dice, by interpolation.

    The interpolation is linear in the logarithm of the number of labels, because Dice grows roughly with this
    logarithm. Interpolation over the number itself would overestimate the labels saved. If more labels gave a lower
    Dice, the higher Dice of fewer labels counts.

    The result is ``nan`` if the smallest number of labels already gives a higher Dice. It is infinite if the largest
    number does not suffice. Amounts without a Dice or without labels are left out. The result is also ``nan`` if no
    amount is left, or if ``dice`` is ``nan``.

    Args:
        dice: mean Dice to reach.
        scratch: mean Dice of the network from scratch, by number of labelled volumes.

    Example:
        >>> labels_needed(0.75, {6: 0.5, 24: 1.0})
        12.0
    """
    volumes = np.array(sorted(number for number, value in scratch.items() if number > 0 and not np.isnan(value)))
    if np.isnan(dice) or not len(volumes):
        return float("nan")
    reached = np.maximum.accumulate([scratch[number] for number in volumes])
    if dice < reached[0]:
        return float("nan")
    if dice > reached[-1]:
        return float("inf")
    after = int(np.searchsorted(reached, dice))
    between = slice(max(after - 1, 0), after + 1)
    return float(np.exp(np.interp(dice, reached[between], np.log(volumes[between]))))
