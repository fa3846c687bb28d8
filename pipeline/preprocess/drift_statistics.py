"""Statistics of drift between two samples; every one is 0 (its p value 1) for equal samples.

Only SciPy's special functions are needed: importing `scipy.stats` would cost every run of the
stage more than all of this. A test compares each figure with that of `scipy.stats`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_LEAST_EXPECTED = 5.0
"""Cells with a smaller expected count are joined before a chi-squared test (Cochran, 1954)."""


def jensen_shannon(reference: Ints, current: Ints) -> float:
    """Jensen-Shannon distance of two histograms of the same cells, base 2, 0 to 1.

    The square root of the divergence (Endres and Schindelin, 2003); 0 where a side is empty.
    """
    if not reference.sum() or not current.sum():
        return 0.0
    p, q = reference / reference.sum(), current / current.sum()
    divergence = (_entropy_of((p + q) / 2) * 2 - _entropy_of(p) - _entropy_of(q)) / 2
    return float(np.sqrt(np.clip(divergence, 0.0, 1.0)))


def _entropy_of(shares: Floats) -> float:
    filled = shares[shares > 0]
    return -float((filled * np.log2(filled)).sum())


def kolmogorov_smirnov(reference: Floats, current: Floats) -> tuple[float, float]:
    """Largest difference of the empirical distribution functions, and its asymptotic p value.

    The p value is that of the limiting distribution (Smirnov, 1939); with ties it is too large,
    which errs on the side of no alarm.
    """
    from scipy import special

    n, m = len(reference), len(current)
    if not n or not m:
        return 0.0, 1.0
    one, other = np.sort(reference), np.sort(current)
    points = np.concatenate([one, other])
    below = [np.searchsorted(side, points, side="right") / len(side) for side in (one, other)]
    largest = float(np.abs(below[0] - below[1]).max())
    return largest, float(special.kolmogorov(largest * np.sqrt(n * m / (n + m))))


def chi_squared(reference: Ints, current: Ints) -> tuple[float, float]:
    """Cramer's V of two rows of counts, 0 to 1, and the p value of the chi-squared test.

    Cells that would be expected to hold less than five rows of a side are joined first. Where
    they are too rare even together, Fisher's exact test holds them against all others, and the
    smaller of both p values is doubled (Bonferroni).
    """
    table = np.stack([reference, current])
    if not table.sum(axis=1).all():
        return 0.0, 1.0
    totals = table.sum(axis=0)
    share = table.sum(axis=1).min() / table.sum()
    rare = totals * share < _LEAST_EXPECTED
    joined = table[:, rare].sum(axis=1, keepdims=True)
    common = table[:, ~rare]
    whole = np.hstack([common, joined]) if joined.any() else common
    if joined.sum() * share >= _LEAST_EXPECTED or not joined.any():
        return _cramers_v(whole), _chi_squared_p_value(whole)
    # Without two common cells there is one test alone.
    tests = 2 if common.shape[1] > 1 else 1
    exact = fisher_p_value(joined[:, 0], common.sum(axis=1))
    return _cramers_v(whole), min(1.0, tests * min(exact, _chi_squared_p_value(common)))


def _chi_squared_of(table: Ints) -> float:
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return float(((table - expected) ** 2 / expected).sum())


def _cramers_v(table: Ints) -> float:
    return float(np.sqrt(_chi_squared_of(table) / table.sum())) if table.shape[1] > 1 else 0.0


def _chi_squared_p_value(table: Ints) -> float:
    from scipy import special

    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 1.0
    return float(special.chdtrc(table.shape[1] - 1, _chi_squared_of(table)))


def fisher_p_value(some: Ints, others: Ints) -> float:
    """P value of Fisher's exact test of a table of two by two, two-sided (Fisher, 1922).

    Args:
        some: Rows of both sides in one cell.
        others: Rows of both sides in the other.
    """
    n, m = (some + others).tolist()
    total = int(some.sum())
    ways = np.arange(max(0, total - m), min(total, n) + 1)
    logs = _log_choices(n, ways) + _log_choices(m, total - ways) - _log_choices(n + m, total)
    chances = np.exp(logs)
    seen = chances[int(some[0]) - ways[0]]
    # Equal chances may differ in their last digits.
    return float(min(1.0, chances[chances <= seen * (1 + 1e-7)].sum()))


def _log_choices(n: Any, k: Any) -> Any:
    from scipy import special

    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


def new_words_p_value(reference: Ints, current: Ints) -> float:
    """Chance of so many current rows with words that the reference lacks, without drift.

    Even then many words stand on one side only where most are rare. If all rows are shuffled, a
    word of c rows has all of them on the current side with a probability p that follows from the
    numbers of rows. The chance that such rows are as many as those seen is bounded as by Chernoff
    (1952), so that it is never too small; a single new word has exactly its p.

    Args:
        reference: Rows of each word; at least one side of each is above 0.
        current: The same words.
    """
    n, m = int(reference.sum()), int(current.sum())
    seen = int(current[reference == 0].sum())
    if not n or not seen:
        return 1.0
    times, words = np.unique(reference + current, return_counts=True)
    fit = times <= m
    times, words = times[fit], words[fit]
    chance = _log_choices(m, times) - _log_choices(n + m, times)
    certain = np.log1p(-np.exp(chance))
    # Of any tilt the bound holds; among these the smallest one is hardly larger than the best.
    tilts = np.geomspace(1e-4, 100, 200)
    tilted = np.logaddexp(certain, chance + tilts[:, None] * times)
    bounds = (words * tilted).sum(axis=1) - tilts * seen
    return float(np.exp(min(0.0, bounds.min())))


def false_discovery_adjusted(p_values: Floats) -> Floats:
    """P values to be held against a false discovery rate (Benjamini and Hochberg, 1995).

    The i-th smallest of n is multiplied by n / i; none may be larger than a later one.
    """
    order = np.argsort(p_values)
    scaled = p_values[order] * len(p_values) / np.arange(1, len(p_values) + 1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return adjusted


def rank_p_value(auc: float, positives: int, negatives: int) -> float:
    """Chance of at least this area under the ROC curve where scores say nothing.

    Normal approximation of the Mann-Whitney statistic (Mann and Whitney, 1947).
    """
    from scipy import special

    deviation = np.sqrt((positives + negatives + 1) / (12 * positives * negatives))
    return float(special.ndtr((0.5 - auc) / deviation))
