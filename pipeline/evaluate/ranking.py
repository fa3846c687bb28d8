"""Metrics of an order: area under the ROC curve, average precision, median; with row weights.

The rows are sorted once. Each bootstrap resample is then a column of row counts in that order,
and a metric of all resamples is a handful of cumulative sums, with no sorting again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Ranking:
    """Rows of two classes in the order of their scores.

    Args:
        positive: bool `[rows]`, whether the row is of the positive class.
        scores: float `[rows]`, higher for rows more likely to be positive.
    """

    def __init__(self, positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.floating]) -> None:
        self.order = np.argsort(scores, kind="stable")
        ranked = scores[self.order]
        self._starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
        self._positive = positive[self.order].astype(np.float64)[:, None]

    def __call__(self, weights: Floats) -> tuple[Floats, Floats]:
        """AUC and average precision under row weights.

        AUC is the share of (positive, negative) pairs in which the positive row has the higher
        score, equal scores counting half (Hanley and McNeil, Radiology 143, 1982). Average
        precision is the sum over distinct scores of precision times the step in recall
        (scikit-learn's `average_precision_score`).

        Args:
            weights: `[rows, resamples]`, how often each row counts, rows in their given order.

        Returns:
            Two arrays `[resamples]`; NaN where a class has no weight.
        """
        ordered = weights[self.order]
        hits = np.add.reduceat(ordered * self._positive, self._starts, axis=0)
        misses = np.add.reduceat(ordered, self._starts, axis=0) - hits
        all_hits, all_misses = hits.sum(axis=0), misses.sum(axis=0)
        below = np.cumsum(misses, axis=0) - misses / 2
        pairs = all_hits * all_misses
        auc = _divide((hits * below).sum(axis=0), pairs)
        hits_from = all_hits - np.cumsum(hits, axis=0) + hits
        rows_from = hits_from + all_misses - np.cumsum(misses, axis=0) + misses
        precision = np.divide(hits_from, rows_from, out=np.zeros_like(hits), where=rows_from > 0)
        return auc, _divide((hits * precision).sum(axis=0), np.where(pairs > 0, all_hits, 0))


def median(values: Floats) -> tuple[npt.NDArray[np.intp], Floats]:
    """The order and the ordered values that `weighted_median` needs: float `[rows]`."""
    order = np.argsort(values, kind="stable")
    return order, values[order]


def weighted_median(ordered: Floats, weights: Floats) -> Floats:
    """The median of `ordered` when row i counts `weights[i]` times.

    Args:
        ordered: `[rows]`, ascending.
        weights: `[rows, resamples]`, whole numbers, rows in the same order.

    Returns:
        `[resamples]`: the mean of the two middle values, as `numpy.median` of the repeated rows.
    """
    reached = np.cumsum(weights, axis=0)
    half = reached[-1] / 2
    last = len(ordered) - 1
    lower = np.minimum((reached < half).sum(axis=0), last)
    upper = np.minimum((reached <= half).sum(axis=0), last)
    return _where(half > 0, (ordered[lower] + ordered[upper]) / 2)


def _divide(numerator: Floats, denominator: Floats) -> Floats:
    undefined = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator > 0)


def _where(defined: npt.NDArray[np.bool_], values: Floats) -> Floats:
    return np.where(defined, values, np.nan)
