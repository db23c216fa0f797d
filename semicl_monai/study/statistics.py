"""Statistics of a study: intervals, tests between methods, and the number of labels a method saves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import wilcoxon

from semicl_monai.handlers.metrics import sums_and_counts
from semicl_monai.study.entries import Entry, Values

DECIMALS = 9  # decimals of a difference of Dice; further decimals are only rounding noise


def mean_of(values: Values) -> float:
    """Return the mean of the means of the splits.

    The mean of a split is the mean over its cases. nan values are left out.
    """
    return float(np.mean([split.mean() for split in _by_split(values)]))


def interval_of(
    values: Values, resamples: int = 9999, seed: int = 0, patients: Mapping[str, str] | None = None
) -> tuple[float, float]:
    """Return the 95 % interval of :func:`mean_of` by a hierarchical bootstrap.

    The bootstrap draws splits, and then patients within each split. Both are drawn with replacement. A patient is drawn
    with all their cases. Drawing from S splits reproduces only (S - 1) / S of the variance between splits. Hesterberg
    calls this the narrowness bias. To correct it, the means of the splits are moved apart by the square root of
    S / (S - 1). With two or three splits the interval is still too narrow, because so few splits show little of the
    variation between splits. With a single split it is the interval over the patients of this split only.

    Args:
        values: the value of each split and case.
        resamples: number of draws.
        seed: seed of the draws.
        patients: patient by case. A case without an entry is a patient of its own.

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
    """Return the finite values of each split, or their patients if ``patients`` is given."""
    splits: dict[str, list[float | str]] = defaultdict(list)
    for (split, case), value in values.items():
        if np.isfinite(value):
            splits[split].append(value if patients is None else patients.get(case, case))
    return [np.array(split) for split in splits.values()] or [np.array([np.nan])]


def p_values(best: Entry, rivals: Sequence[Entry]) -> list[float]:
    """Return the p-values of the paired Wilcoxon signed-rank test of ``best`` against each rival, corrected by Holm.

    The test is two-sided. It uses the splits that both methods have run on. Without such a split p is 1. Each patient
    gives one pair. The pair holds the mean Dice of the two methods, over the classes, the cases of the patient, and the
    splits that test these cases. The patients of one split share a trained network, and the test does not account for
    this. The p-values therefore hold for these networks, not for networks from other training volumes.

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
    # without rounding, equal differences would get different ranks because of their last digits
    differences = np.round([np.mean(of_patient) for of_patient in of_patients.values()], DECIMALS)
    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction for multiple tests.

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
    """Return how many labelled volumes a network from scratch needs for a mean Dice.

    The number is interpolated between the amounts of labels that were tried. Dice grows roughly with the logarithm of
    the number of labels. The interpolation therefore uses this logarithm. Linear interpolation would report too many
    saved labels. If the Dice falls with more labels, the better earlier value is used. Amounts without a Dice or
    without labels are ignored.

    The result is ``nan`` if fewer labels than the smallest amount would be enough. It is infinite if even the largest
    amount is not enough. It is also ``nan`` if ``dice`` is nan or no amount remains.

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
