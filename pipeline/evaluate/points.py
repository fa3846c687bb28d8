"""The points behind the pictures: a small table for each, for `dvc plots` and people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.evaluate.measures import Labels, Scores, bin_of
from pipeline.evaluate.ranking import Bools, Floats, ranked_counts

MOST_POINTS = 200
"""Points of one curve."""
_SCORE_BINS = 40
_WILSON_Z = 1.959964
"""Two-sided 95 % point of the normal distribution."""


def roc_points(curves: Mapping[str, tuple[Bools, Scores]]) -> pd.DataFrame:
    """ROC curves.

    Args:
        curves: By name: `[rows]` whether a row is positive, and `[rows]` its score. Curves
            without both kinds of rows are left out.

    Returns:
        curve, false_positive_rate, true_positive_rate; from (0, 0) to (1, 1).
    """
    tables = []
    for name, (positive, score) in _drawable(curves).items():
        hits, rows = ranked_counts(positive, score)
        x = np.r_[0, (rows - hits) / (rows[-1] - hits[-1])]
        y = np.r_[0, hits / hits[-1]]
        kept = _evenly(x + y)
        table = {"curve": name, "false_positive_rate": x[kept], "true_positive_rate": y[kept]}
        tables.append(pd.DataFrame(table))
    return _joined(tables, ["curve", "false_positive_rate", "true_positive_rate"])


def pr_points(curves: Mapping[str, tuple[Bools, Scores]]) -> pd.DataFrame:
    """Precision-recall curves; arguments as for `roc_points`.

    Returns:
        curve, recall, precision; from the highest score down.
    """
    tables = []
    for name, (positive, score) in _drawable(curves).items():
        hits, rows = ranked_counts(positive, score)
        recall, precision = hits / hits[-1], hits / rows
        kept = _evenly(recall + np.linspace(0, 1, len(recall)))
        table = {"curve": name, "recall": recall[kept], "precision": precision[kept]}
        tables.append(pd.DataFrame(table))
    return _joined(tables, ["curve", "recall", "precision"])


def calibration_points(score: Scores, hit: Bools, bins: int) -> pd.DataFrame:
    """How often what was given a score came true, over bins of equal width.

    Args:
        score: `[rows]`, 0 to 1.
        hit: `[rows]`, whether that came true.
        bins: Number of bins; empty ones are left out.

    Returns:
        mean_score, share, low, high (95 % Wilson score interval of the share, JASA 22, 1927), rows.
    """
    place = bin_of(score, bins)
    rows = np.bincount(place, minlength=bins).astype(np.float64)
    filled = rows > 0
    rows = rows[filled]
    mean = np.bincount(place, score, minlength=bins)[filled] / rows
    share = np.bincount(place, hit, minlength=bins)[filled] / rows
    low, high = _wilson(share, rows)
    table = {"mean_score": mean, "share": share, "low": low, "high": high, "rows": rows}
    return pd.DataFrame(table).astype({"rows": np.int64})


def score_points(score: Scores, groups: Mapping[str, Bools]) -> pd.DataFrame:
    """Histogram of scores for each group of rows.

    Returns:
        group, score (middle of the bin), rows.
    """
    middle = (np.arange(_SCORE_BINS) + 0.5) / _SCORE_BINS
    place = bin_of(score, _SCORE_BINS)
    tables = [
        pd.DataFrame(
            {
                "group": name,
                "score": middle,
                "rows": np.bincount(place[chosen], minlength=_SCORE_BINS),
            }
        )
        for name, chosen in groups.items()
    ]
    return pd.concat(tables, ignore_index=True)


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
        predicted (mean of the group), actual (mean), low, high (10 % and 90 % quantile of the
        actual values), rows.
    """
    order = np.argsort(predicted, kind="stable")
    groups = np.array_split(order, min(MOST_POINTS // 10, len(order)))
    table = [
        {
            "predicted": float(predicted[group].mean()),
            "actual": float(labels[group].mean()),
            "low": float(np.quantile(labels[group], 0.1)),
            "high": float(np.quantile(labels[group], 0.9)),
            "rows": len(group),
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


def _drawable(
    curves: Mapping[str, tuple[Bools, Scores]],
) -> dict[str, tuple[Bools, Scores]]:
    return {name: pair for name, pair in curves.items() if 0 < pair[0].sum() < len(pair[0])}


def _joined(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _evenly(along: Floats) -> npt.NDArray[np.intp]:
    """Indices of at most MOST_POINTS points, evenly spread along an ascending measure."""
    if len(along) <= MOST_POINTS:
        return np.arange(len(along))
    wanted = np.linspace(along[0], along[-1], MOST_POINTS)
    return np.unique(np.searchsorted(along, wanted).clip(0, len(along) - 1))


def _wilson(share: Floats, rows: Floats) -> tuple[Floats, Floats]:
    z2 = _WILSON_Z**2
    middle = (share + z2 / (2 * rows)) / (1 + z2 / rows)
    spread = np.sqrt(share * (1 - share) / rows + z2 / (4 * rows**2))
    reach = _WILSON_Z / (1 + z2 / rows) * spread
    return np.maximum(middle - reach, 0), np.minimum(middle + reach, 1)
