"""Intervals over volumes and splits, tests of one method against others, and how many labels a method saves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import wilcoxon

from semicl_monai.study.entries import Entry, Values


def mean_of(values: Values) -> float:
    """Return the mean over all splits and cases that have a value."""
    return float(np.nanmean(list(values.values())))


def interval_of(values: Values, resamples: int = 9999, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean by a hierarchical bootstrap: splits are drawn, then cases within each.

    With a single split it is that over its cases.

    Args:
        values: of each split and case.
        resamples: how often to draw.
        seed: of the draws.

    References:
        Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8.
    """
    rng = np.random.default_rng(seed)
    by_split = {split: np.array([v for (s, _), v in values.items() if s == split]) for split, _ in values}
    # means of each split, every time anew, whether or not the split is drawn
    cases = [split[np.isfinite(split)] for split in by_split.values()]
    means = np.stack([rng.choice(split, (resamples, len(cases), len(split))).mean(2) for split in cases], 2)
    drawn = rng.integers(len(cases), size=(resamples, len(cases), 1))
    low, high = np.percentile(np.take_along_axis(means, drawn, 2).mean((1, 2)), [2.5, 97.5])
    return float(low), float(high)


def p_values(best: Entry, rivals: Sequence[Entry]) -> list[float]:
    """Return the p-values of the paired Wilcoxon signed-rank test of ``best`` against each rival, corrected by Holm.

    The test is two-sided; the pairs are the mean Dice, over the classes, of the cases and splits that both have.

    References:
        Wilcoxon, Individual Comparisons by Ranking Methods, Biometrics Bulletin 1945. Holm, A Simple Sequentially
        Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 1979.
    """
    return holm([_p_value(best.dice, rival.dice) for rival in rivals])


def _p_value(ours: Values, theirs: Values) -> float:
    differences = np.array([ours[key] - theirs[key] for key in ours if key in theirs])
    differences = differences[np.isfinite(differences)]
    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


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


def labels_needed(dice: float, scratch: Sequence[Entry]) -> float:
    """Return how many labelled volumes a network from scratch needs for a mean Dice, interpolated between amounts.

    Where more labels have made it worse, the better of the two counts. It is ``nan`` below the fewest labels that were
    tried, and infinite where all of them do not suffice.
    """
    curve = sorted((entry.volumes, mean_of(entry.dice)) for entry in scratch)
    volumes, reached = np.array([v for v, _ in curve]), np.maximum.accumulate([d for _, d in curve])
    if dice < reached[0]:
        return float("nan")
    if dice > reached[-1]:
        return float("inf")
    after = int(np.searchsorted(reached, dice))
    return float(np.interp(dice, reached[max(after - 1, 0) : after + 1], volumes[max(after - 1, 0) : after + 1]))
