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


class Ranking:
    """Rows of two classes, from the highest score to the lowest.

    Args:
        positive: `[rows]`, whether the row is of the positive class.
        scores: `[rows]`, higher for rows held more likely to be positive.
    """

    def __init__(self, positive: Bools, scores: npt.NDArray[np.floating]) -> None:
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        # The last row of each run of equal scores.
        self._ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])
        self._positive = positive[self._order].astype(np.float64)

    def curve(self, weights: Floats) -> tuple[Floats, Floats]:
        """Weight of positive rows, and of all rows, at or above each distinct score.

        Args:
            weights: `[rows]`, in the order the rows were given.

        Returns:
            Two ascending arrays `[distinct scores]`, from the highest score down.
        """
        rows = weights[self._order]
        hits = np.cumsum(rows * self._positive)[self._ends]
        return hits, np.cumsum(rows)[self._ends]

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
        hits, rows = self.curve(weights)
        positives, negatives = float(hits[-1]), float(rows[-1] - hits[-1])
        if not positives * negatives:
            return None, None
        new_hits = np.diff(hits, prepend=0.0)
        new_misses = np.diff(rows, prepend=0.0) - new_hits
        won = float(np.einsum("i,i", new_misses, hits - new_hits / 2))
        precision = hits / np.where(rows > 0, rows, 1.0)
        precise = float(np.einsum("i,i", new_hits, precision))
        return won / (positives * negatives), precise / positives


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
