"""Metrics of an order, with row weights: area under the ROC curve, average precision, median.

Rows are sorted once. A bootstrap resample is then a vector of row counts, and each metric of it
takes two cumulative sums, with no sorting again. Sums of products go through `einsum`, not `@`:
for vectors a threaded BLAS costs more than it saves, and many times more on a busy machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_LEAST_WEIGHT = 1e-300
"""Divides 0 instead of 0."""


class Ranking:
    """Rows of two classes, from the highest score to the lowest.

    Args:
        positive: `[rows]`, whether the row is of the positive class.
        scores: `[rows]`, higher for rows held more likely to be positive.
    """

    def __init__(self, positive: Bools, scores: npt.NDArray[np.floating]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked, hit = scores[self._order], positive[self._order]
        self._hits = np.flatnonzero(hit)
        # Runs of equal scores that hold a positive row: where each starts and ends among all
        # rows, and among the positive ones.
        ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True]) + 1
        starts = np.r_[0, ends[:-1]]
        hits_before = np.r_[0, np.cumsum(hit)]
        holds = hits_before[ends] > hits_before[starts]
        self._starts, self._ends = starts[holds], ends[holds]
        self._first_hits, self._last_hits = hits_before[self._starts], hits_before[self._ends]

    def __call__(self, weights: Floats) -> tuple[float | None, float | None]:
        """AUC and average precision when row i counts `weights[i]` times.

        AUC is the share of (positive, negative) pairs in which the positive row has the higher
        score, equal scores counting half (Hanley and McNeil, Radiology 143, 1982). Average
        precision is the sum over distinct scores of precision times the step in recall, without
        interpolation (scikit-learn's `average_precision_score`).

        Args:
            weights: `[rows]`, not negative, in the order the rows were given.

        Returns:
            AUC and average precision; None where one of the classes has no weight.
        """
        ranked = weights.take(self._order)
        rows, hits = _running(ranked), _running(ranked.take(self._hits))
        positives, negatives = float(hits[-1]), float(rows[-1] - hits[-1])
        if not positives * negatives:
            return None, None
        rows_until, hits_until = rows.take(self._ends), hits.take(self._last_hits)
        rows_before, new_hits = rows.take(self._starts), hits.take(self._first_hits)
        # In place from here on: fresh memory costs more than the arithmetic.
        np.subtract(hits_until, new_hits, out=new_hits)
        # The Mann-Whitney statistic from the sum of the positive rows' middle ranks.
        ranks = _sum(new_hits, rows_before) + _sum(new_hits, rows_until)
        won = positives * (negatives + positives / 2) - ranks / 2
        # Runs without weight before them hold no weighted hits: their precision is not asked.
        np.maximum(rows_until, _LEAST_WEIGHT, out=rows_until)
        precision = np.divide(hits_until, rows_until, out=rows_until)
        return won / (positives * negatives), _sum(new_hits, precision) / positives


def ranked_counts(
    positive: Bools, scores: npt.NDArray[np.floating], weights: Floats
) -> tuple[Floats, Floats]:
    """Weight of positive and of all rows at or above each distinct score, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
    counted = weights[order]
    return np.cumsum(positive[order] * counted)[ends], np.cumsum(counted)[ends]


class Quantiles:
    """Numbers in ascending order.

    Args:
        values: `[rows]`.
    """

    def __init__(self, values: Floats) -> None:
        self._order = np.argsort(values, kind="stable")
        self._ordered = values[self._order]

    def median(self, weights: Floats) -> float:
        """The median when row i counts `weights[i]` times.

        Args:
            weights: `[rows]`, not negative, not all zero, in the order the rows were given.

        Returns:
            The mean of the two middle values, as `numpy.median` of the repeated rows.
        """
        reached = np.cumsum(weights[self._order])
        half = reached[-1] / 2
        last = len(self._ordered) - 1
        lower = min(int(np.searchsorted(reached, half, side="left")), last)
        upper = min(int(np.searchsorted(reached, half, side="right")), last)
        return float(self._ordered[lower] + self._ordered[upper]) / 2


def _running(values: Floats) -> Floats:
    """Cumulative sums with a leading 0: `[len(values) + 1]`."""
    sums = np.empty(len(values) + 1)
    sums[0] = 0.0
    np.cumsum(values, out=sums[1:])
    return sums


def _sum(weights: Floats, values: Floats) -> float:
    return float(np.einsum("i,i", weights, values))
