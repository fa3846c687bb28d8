"""Statistics of the profile: association of a column with the label, and drift between splits.

Every function takes NumPy arrays without missing values and answers None where the statistic is
not defined (a constant column, a single class, no rows).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

_SPEARMAN_ROWS = 20_000
"""Ranks of more rows cost time and add nothing: the standard error is 0.007 here."""


def auc(values: Floats, positive: Bools) -> float | None:
    """Probability that a positive row has the larger value, ties counted half.

    The Mann-Whitney U statistic over its maximum (Hanley and McNeil 1982).

    Args:
        values: Numbers, shape [n].
        positive: Whether each row is of the positive class, shape [n].
    """
    above = np.sort(values[positive])
    below = np.sort(values[~positive])
    if not len(above) or not len(below):
        return None
    smaller = np.searchsorted(below, above, side="left").sum(dtype=np.int64)
    not_larger = np.searchsorted(below, above, side="right").sum(dtype=np.int64)
    return float((smaller + not_larger) / (2.0 * len(above) * len(below)))


def pearson(values: Floats, label: Floats) -> float | None:
    """Correlation coefficient of two arrays of shape [n], -1 to 1."""
    if len(values) < 2:
        return None
    # Scaled first, so that huge values do not overflow when squared.
    left = _centred(values)
    right = _centred(label)
    norm = np.sqrt(_dot(left, left)) * np.sqrt(_dot(right, right))
    return float(np.clip(_dot(left, right) / norm, -1.0, 1.0)) if norm > 0 else None


def _dot(left: Floats, right: Floats) -> float:
    """Inner product whose last digit does not depend on the number of BLAS threads."""
    return float((left * right).sum())


def _centred(values: Floats) -> Floats:
    largest = np.abs(values).max()
    scaled = values / largest if largest > 0 else values
    centred: Floats = scaled - scaled.mean()
    # What is left of a constant after rounding is not variation.
    return centred if np.abs(centred).max() > 1e-12 else np.zeros_like(centred)


def spearman(values: Floats, label: Floats) -> float | None:
    """Correlation of the ranks, -1 to 1; of at most 20,000 evenly spaced rows."""
    step = -(-len(values) // _SPEARMAN_ROWS) or 1
    return pearson(_ranks(values[::step]), _ranks(label[::step]))


def _ranks(values: Floats) -> Floats:
    """Average ranks from 0; ties share theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    middles: Floats = ends - (counts + 1) / 2
    return middles[inverse]


def cramers_v(table: Ints) -> float | None:
    """Cramer's V of a contingency table, 0 to 1, with Bergsma's bias correction.

    Bergsma 2013, "A bias-correction for Cramer's V and Tschuprow's T": without it, a column with
    a different value in each row would seem to say everything.

    Args:
        table: Rows by value and class, shape [values, classes].
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    rows, columns = table.shape
    n = int(table.sum())
    if rows < 2 or columns < 2 or n < 2:
        return None
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi_squared = float(((table - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi_squared - (rows - 1) * (columns - 1) / (n - 1))
    true_rows = rows - (rows - 1) ** 2 / (n - 1)
    true_columns = columns - (columns - 1) ** 2 / (n - 1)
    degrees = min(true_rows, true_columns) - 1
    return float(min(1.0, np.sqrt(corrected / degrees))) if degrees > 0 else None


def mutual_information(table: Ints) -> float | None:
    """Share of the label's entropy that the column explains, 0 to 1.

    Mutual information over the entropy of the classes (Theil's U), less the information that
    independent columns of this shape seem to have, (values - 1)(classes - 1) / 2n (Miller 1955).

    Args:
        table: Rows by value and class, shape [values, classes].
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n = int(table.sum())
    if n == 0 or min(table.shape) < 2:
        return None
    joint = table / n
    by_value, by_class = joint.sum(axis=1), joint.sum(axis=0)
    filled = joint > 0
    ratio = joint[filled] / np.outer(by_value, by_class)[filled]
    information = float((joint[filled] * np.log(ratio)).sum())
    chance = (table.shape[0] - 1) * (table.shape[1] - 1) / (2 * n)
    entropy = -float((by_class * np.log(by_class)).sum())
    return float(np.clip((information - chance) / entropy, 0.0, 1.0))


def correlation_ratio(groups: Ints, label: Floats) -> float | None:
    """Square root of the share of the label's variance that lies between groups, 0 to 1.

    Kelley's epsilon (1935), which is not fooled by many small groups as eta is.

    Args:
        groups: Group of each row from 0, shape [n].
        label: Number to explain, shape [n].
    """
    counts = np.bincount(groups)
    n, filled = len(groups), int((counts > 0).sum())
    if filled < 2 or n <= filled:
        return None
    centred = _centred(label)
    total = _dot(centred, centred)
    if total <= 0:
        return None
    sums = np.bincount(groups, weights=centred)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum())
    within = (total - between) / (n - filled)
    return float(np.sqrt(np.clip(1 - within / (total / (n - 1)), 0.0, 1.0)))


def stability_index(expected: Ints, actual: Ints) -> float:
    """Population stability index of two histograms of the same bins; 0 when they agree.

    `sum((a - e) ln(a / e))` over the bins' shares (Siddiqi 2006); half a row is added to each
    bin, so that an empty one does not answer infinity. 0.1 is a slight shift, 0.25 a large one.

    Args:
        expected: Rows by bin of the reference, shape [bins].
        actual: Rows by bin of the other sample, shape [bins].
    """
    if not expected.sum() or not actual.sum():
        return 0.0
    # A bin without any row would count as one that rows of the smaller sample move to.
    filled = expected + actual > 0
    reference, other = (side[filled] + 0.5 for side in (expected, actual))
    reference, other = reference / reference.sum(), other / other.sum()
    return float(((other - reference) * np.log(other / reference)).sum())


def cell_edges(quantiles: Floats) -> Floats:
    """Inner edges of cells between quantiles; cells hold their lower edge.

    A number that several quantiles share has a cell of its own: otherwise all that is larger
    would be counted with it, and a column that is mostly 0 would have one cell.

    Args:
        quantiles: Numbers that occur, shape [n].
    """
    edges, times = np.unique(quantiles, return_counts=True)
    # Infinity follows the largest number there is.
    with np.errstate(over="ignore"):
        return np.union1d(edges, np.nextafter(edges[times > 1], np.inf))


def stability_noise(bins: int, expected_rows: int, actual_rows: int) -> float:
    """The index that samples of one distribution exceed once in about a hundred.

    The index over `1/n + 1/m` is about chi-squared with `bins - 1` degrees (Yurdakul 2018); its
    mean and 2.33 standard deviations are taken.
    """
    if bins < 2 or not expected_rows or not actual_rows:
        return 0.0
    degrees = bins - 1
    return float((degrees + 2.33 * np.sqrt(2 * degrees)) * (1 / expected_rows + 1 / actual_rows))
