"""Intervals over volumes and splits, tests of one method against others, and how many labels a method saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import wilcoxon

from semicl_monai.handlers.metrics import sums_and_counts
from semicl_monai.study.entries import Entry, Values

DECIMALS = 9  # of a difference of Dice; further ones are noise of its rounding


def mean_of(values: Values) -> float:
    """Return the mean over the splits of the mean over the cases of each; what is nan is left out."""
    return float(np.mean([split.mean() for split in _by_split(values)]))


def interval_of(
    values: Values, resamples: int = 9999, seed: int = 0, patients: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of that mean by a hierarchical bootstrap: splits are drawn, then patients within each.

    Both are drawn with replacement, a patient with all cases. Splits drawn from S vary by (S - 1) / S of the variance
    that splits have, and so their means are moved away from each other by the square root of S / (S - 1), against what
    Hesterberg calls the narrowness bias. Two or three splits tell little of how others would differ, and with so few
    the interval is still too narrow. With a single split it is the interval over its patients alone.

    Args:
        values: of each split and case.
        resamples: how often to draw.
        seed: of the draws.
        patients: patient by case; a case that is not in it is a patient of its own.

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
    """The finite values of each split; or, with ``patients``, whose they are."""
    splits: dict[str, list[float | str]] = defaultdict(list)
    for (split, case), value in values.items():
        if np.isfinite(value):
            splits[split].append(value if patients is None else patients.get(case, case))
    return [np.array(split) for split in splits.values()] or [np.array([np.nan])]


def p_values(best: Entry, rivals: Sequence[Entry]) -> list[float]:
    """Return the p-values of the paired Wilcoxon signed-rank test of ``best`` against each rival, corrected by Holm.

    The test is two-sided, and over the splits that both have run on; without one, p is 1. A pair are the mean Dice,
    over classes, over the cases and over the splits that test them, of a patient, who counts once. Patients of
    one split share a trained network all the same, which the test does not know: it tells of these networks, not of
    those that other training volumes would give.

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
    # equal differences, told apart by their last digits alone, would have ranks of their own
    differences = np.round([np.mean(of_patient) for of_patient in of_patients.values()], DECIMALS)
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number.

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
    """Return how many labelled volumes a network from scratch needs for a mean Dice, interpolated between amounts.

    Dice grows about as the logarithm of the labels, along which it is interpolated: along the labels themselves more
    would be saved than is. Where more labels have made it worse, the better of the two counts. It is ``nan`` below the
    fewest labels that were tried, and infinite where all of them do not suffice. Amounts without a Dice, or without a
    label, do not count; it is ``nan`` too where none is left, or ``dice`` is none.

    Args:
        dice: mean Dice to reach.
        scratch: mean Dice of the network from scratch, by its labelled volumes.

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
