"""Statistics of drift between two samples; every one is 0 (its p value 1) for equal samples.

Only SciPy's special functions are needed: importing `scipy.stats` would cost every run of the
stage more than all of this. A test compares each figure with that of `scipy.stats`.
"""

from __future__ import annotations

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

    Cells that would be expected to hold less than five rows of a side are joined first.
    """
    from scipy import special

    table = _pooled(np.stack([reference, current]))
    if table.shape[1] < 2 or not table.sum(axis=1).all():
        return 0.0, 1.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    p_value = float(special.chdtrc(table.shape[1] - 1, statistic))
    return float(np.sqrt(statistic / table.sum())), p_value


def _pooled(table: Ints) -> Ints:
    totals = table.sum(axis=0)
    share = table.sum(axis=1).min() / max(int(table.sum()), 1)
    rare = totals * share < _LEAST_EXPECTED
    kept = table[:, ~rare]
    if not rare.any():
        return kept
    joined = table[:, rare].sum(axis=1, keepdims=True)
    # What is too rare even together says nothing.
    return np.hstack([kept, joined]) if joined.sum() * share >= _LEAST_EXPECTED else kept


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
