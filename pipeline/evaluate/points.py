"""The points behind the pictures: a small table for each, for `dvc plots` and people.

Points stand on even grids and what matters most stands in the last column: that is what
`dvc plots` draws, row by row, of a table it has no further word about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.evaluate.measures import Labels, Scores, bin_of
from pipeline.evaluate.ranking import Bools, Floats, ranked_counts

MOST_POINTS = 200
"""Points of one curve."""
_GRID = np.linspace(0, 1, MOST_POINTS)
_SCORE_BINS = 40
_WILSON_Z = 1.959964
"""Two-sided 95 % point of the normal distribution."""


def roc_points(
    curves: Mapping[str, tuple[Bools, Scores]], weights: Floats | None = None
) -> pd.DataFrame:
    """ROC curves on an even grid.

    Args:
        curves: By name: `[rows]` whether a row is positive, and `[rows]` its score. Curves
            without both kinds of rows are left out.
        weights: `[rows]`, how much each row counts; None where all count alike.

    Returns:
        false_positive_rate, and for each curve the largest true positive rate that costs no more.
    """
    columns = {}
    for name, (hits, rows) in _ranked(curves, weights).items():
        misses = np.r_[0.0, rows - hits] / (rows[-1] - hits[-1])
        reached = np.searchsorted(misses, _GRID, side="right") - 1
        columns[name] = np.r_[0.0, hits / hits[-1]][reached]
    return _wide("false_positive_rate", _GRID, columns)


def pr_points(
    curves: Mapping[str, tuple[Bools, Scores]], weights: Floats | None = None
) -> pd.DataFrame:
    """Precision-recall curves on an even grid; arguments as for `roc_points`.

    Returns:
        recall, and for each curve the precision where that recall is first reached.
    """
    columns = {}
    for name, (hits, rows) in _ranked(curves, weights).items():
        reached = np.searchsorted(hits / hits[-1], _GRID, side="left")
        columns[name] = (hits / rows)[reached]
    return _wide("recall", _GRID, columns)


def calibration_points(
    score: Scores, hit: Bools, bins: int, weights: Floats | None = None
) -> pd.DataFrame:
    """How often what was given a score came true, over bins of equal width.

    Args:
        score: `[rows]`, 0 to 1.
        hit: `[rows]`, whether that came true.
        bins: Number of bins; those without weight are left out.
        weights: `[rows]`, how much each row counts; None where all count alike.

    Returns:
        mean_score, rows, low, high (95 % Wilson score interval of the share, JASA 22, 1927, for as
        many rows of one weight as these are worth: Kish, Survey Sampling, 1965), share.
    """
    place, counts = bin_of(score, bins), np.ones(len(score)) if weights is None else weights

    def summed(values: Floats) -> Floats:
        sums = np.bincount(place, values, minlength=bins).astype(np.float64)
        return sums[filled]

    filled = np.bincount(place, counts, minlength=bins) > 0
    weight = summed(counts)
    mean, share = summed(counts * score) / weight, summed(counts * hit) / weight
    low, high = _wilson(share, weight**2 / summed(counts**2))
    rows = summed(np.ones(len(score))).astype(np.int64)
    table = {"mean_score": mean, "rows": rows, "low": low, "high": high, "share": share}
    return pd.DataFrame(table)


def score_points(score: Scores, groups: Mapping[str, Bools]) -> pd.DataFrame:
    """Histogram of scores for each group of rows.

    Returns:
        score (middle of the bin), and for each group its rows in the bin.
    """
    middle = (np.arange(_SCORE_BINS) + 0.5) / _SCORE_BINS
    place = bin_of(score, _SCORE_BINS)
    columns = {
        name: np.bincount(place[chosen], minlength=_SCORE_BINS) for name, chosen in groups.items()
    }
    return _wide("score", middle, columns)


def confusion_points(
    labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], classes: Sequence[str]
) -> pd.DataFrame:
    """Rows of each actual and predicted class.

    Returns:
        actual, predicted, rows; every pair of classes.
    """
    size = len(classes)
    rows = np.bincount(labels * size + predicted, minlength=size * size)
    table = {"actual": np.repeat(classes, size), "predicted": np.tile(classes, size), "rows": rows}
    return pd.DataFrame(table)


def fit_points(labels: Labels, predicted: Scores) -> pd.DataFrame:
    """Actual against predicted values in groups of equal size along the prediction.

    Returns:
        predicted (mean of the group), rows, low, high (10 % and 90 % quantile of the actual
        values), actual (mean).
    """
    order = np.argsort(predicted, kind="stable")
    groups = np.array_split(order, min(MOST_POINTS // 10, len(order)))
    table = [
        {
            "predicted": float(predicted[group].mean()),
            "rows": len(group),
            "low": float(np.quantile(labels[group], 0.1)),
            "high": float(np.quantile(labels[group], 0.9)),
            "actual": float(labels[group].mean()),
        }
        for group in groups
    ]
    return pd.DataFrame(table)


def residual_points(labels: Labels, predicted: Scores) -> pd.DataFrame:
    """Histogram of predicted less actual between its 0.5 % and 99.5 % quantiles.

    Returns:
        residual (middle of the bin), rows; what lies outside counts in the outermost bins.
    """
    residual = predicted.astype(np.float64) - labels
    low, high = spread(residual, 0.005)
    rows, edges = np.histogram(np.clip(residual, low, high), _SCORE_BINS, (low, high))
    return pd.DataFrame({"residual": (edges[:-1] + edges[1:]) / 2, "rows": rows})


def spread(values: Floats, tail: float) -> tuple[float, float]:
    """Where most of `values` lie, all but a share `tail` at either end; never a single point."""
    low, high = (float(end) for end in np.quantile(values, [tail, 1 - tail]))
    least = 1e-6 * max(1.0, abs(low), abs(high))
    return (low, high) if high - low > least else (low - least, high + least)


def _ranked(
    curves: Mapping[str, tuple[Bools, Scores]], weights: Floats | None
) -> dict[str, tuple[Floats, Floats]]:
    """`ranked_counts` of each curve that has both kinds of rows; rows of no weight are none."""
    ranked = {}
    for name, (positive, score) in curves.items():
        counts = np.ones(len(score)) if weights is None else weights
        kept = counts > 0
        if 0 < positive[kept].sum() < kept.sum():
            ranked[name] = ranked_counts(positive[kept], score[kept], counts[kept])
    return ranked


def _wide(x: str, grid: Floats, columns: Mapping[str, npt.NDArray[Any]]) -> pd.DataFrame:
    """One table: the grid, then the columns; a class that is called as the grid is told apart."""
    named = {f"{name} (class)" if name == x else name: columns[name] for name in columns}
    return pd.DataFrame({x: grid} | named)


def _wilson(share: Floats, rows: Floats) -> tuple[Floats, Floats]:
    z2 = _WILSON_Z**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    spread = np.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    reach = _WILSON_Z / (1 + z2 / rows) * spread
    return np.maximum(middle - reach, 0), np.minimum(middle + reach, 1)
