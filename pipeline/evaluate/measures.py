"""The metrics of each task, as functions of row weights.

A measure is built once from labels and scores, and then called with a weight for each row: all
ones for the value on the data, row counts for a bootstrap resample. It returns the metrics by
name and leaves out those that are undefined, such as the AUC of rows of one class.

Predicted classes are those the served model names: the class with the highest score.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pipeline.core.features import Task
from pipeline.evaluate.ranking import Bools, Floats, Quantiles, Ranking

Scores = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64] | npt.NDArray[np.float64]

_LEAST_PROBABILITY = float(np.finfo(np.float32).eps)
"""Scores are float32: a sigmoid of 17 already is exactly 1 and its log loss would be infinite."""
_RANKED_CLASSES = 50
"""With more classes than these, their ranking is measured once and gets no interval."""


class Measure(Protocol):
    """The metrics of some rows as a function of their weights."""

    fixed: dict[str, float]
    """Metrics of all rows that are too dear to be computed for every resample."""

    def __call__(self, weights: Floats) -> dict[str, float]:
        """All other metrics by name, when row i counts `weights[i]` times."""


def measure_of(task: Task, labels: Labels, scores: Scores, bins: int) -> Measure:
    """The measure for `task`.

    Args:
        task: Kind of prediction.
        labels: int64 `[rows]` class indices, or float64 `[rows]` values for regression.
        scores: `[rows, classes]` probabilities, or `[rows]` values for regression.
        bins: Bins of the calibration error.
    """
    match task:
        case "binary":
            return BinaryMeasure(labels == 1, scores, bins)
        case "multiclass":
            return MulticlassMeasure(labels.astype(np.int64), scores, bins)
        case "regression":
            return RegressionMeasure(labels.astype(np.float64), scores.astype(np.float64))


class BinaryMeasure:
    """Metrics of two classes.

    Args:
        positive: `[rows]`, whether the row is of class 1.
        scores: `[rows, 2]`, probabilities of class 0 and class 1.
        bins: Bins of the calibration error.
    """

    def __init__(self, positive: Bools, scores: Scores, bins: int) -> None:
        self.fixed: dict[str, float] = {}
        score = scores[:, 1].astype(np.float64)
        self._ranking = Ranking(positive, scores[:, 1])
        self._outcome = 2 * positive.astype(np.int64) + scores.argmax(axis=1)
        self._loss = log_losses(positive.astype(np.int64), scores)
        self._squared = np.square(score - positive)
        self._calibration = CalibrationError(score, positive, bins)

    def __call__(self, weights: Floats) -> dict[str, float]:
        """Precision is 0 where nothing is predicted positive (as in scikit-learn)."""
        auc, pr_auc = self._ranking(weights)
        counts = np.bincount(self._outcome, weights, minlength=4)
        right_no, false_yes, false_no, right_yes = (float(count) for count in counts)
        total = float(counts.sum())
        values = {
            "auc": auc,
            "pr_auc": pr_auc,
            "accuracy": (right_no + right_yes) / total,
            "precision": right_yes / ((right_yes + false_yes) or 1.0),
            "recall": _share(right_yes, right_yes + false_no),
            "f1": _share(2 * right_yes, 2 * right_yes + false_yes + false_no),
            "log_loss": _mean(self._loss, weights, total),
            "brier": _mean(self._squared, weights, total),
            "calibration_error": self._calibration(weights, total),
        }
        return _defined(values)


class MulticlassMeasure:
    """Metrics of three or more classes.

    Args:
        labels: `[rows]`, class indices.
        scores: `[rows, classes]`, probabilities.
        bins: Bins of the calibration error.
    """

    def __init__(self, labels: npt.NDArray[np.int64], scores: Scores, bins: int) -> None:
        self.fixed: dict[str, float] = {}
        self._classes = scores.shape[1]
        self._labels, self._predicted = labels, scores.argmax(axis=1)
        self._correct = (self._labels == self._predicted).astype(np.float64)
        true_score = scores[np.arange(len(labels)), labels].astype(np.float64)
        self._loss = log_losses(labels, scores)
        self._squared = np.square(scores.astype(np.float64)).sum(axis=1) - 2 * true_score + 1
        self._calibration = CalibrationError(scores.max(axis=1), self._correct > 0, bins)
        rankings = (Ranking(labels == k, scores[:, k]) for k in range(self._classes))
        self._rankings: list[Ranking] = []
        if self._classes <= _RANKED_CLASSES:
            self._rankings = list(rankings)
        else:
            self.fixed = _defined({"auc_ovr": _mean_area(rankings, np.ones(len(labels)))})

    def __call__(self, weights: Floats) -> dict[str, float]:
        """Class means go over the classes that occur, as in scikit-learn.

        The calibration error is that of the highest score against being right (Guo et al. 2017);
        the Brier score is the sum over classes (Brier 1950), from 0 to 2.
        """
        right = np.bincount(self._labels, weights * self._correct, minlength=self._classes)
        labelled = np.bincount(self._labels, weights, minlength=self._classes)
        predicted = np.bincount(self._predicted, weights, minlength=self._classes)
        total = float(labelled.sum())
        seen, either = labelled > 0, labelled + predicted > 0
        values = {
            "accuracy": float(right.sum()) / total,
            "auc_ovr": _mean_area(self._rankings, weights),
            "balanced_accuracy": float(np.mean(right[seen] / labelled[seen])),
            "macro_f1": float(np.mean(2 * right[either] / (labelled + predicted)[either])),
            "log_loss": _mean(self._loss, weights, total),
            "brier": _mean(self._squared, weights, total),
            "calibration_error": self._calibration(weights, total),
        }
        return _defined(values)


class RegressionMeasure:
    """Metrics of a number; all but R2 are in the label's unit.

    Args:
        labels: `[rows]`.
        predicted: `[rows]`.
    """

    def __init__(self, labels: Floats, predicted: Floats) -> None:
        self.fixed: dict[str, float] = {}
        self._error = predicted - labels
        self._absolute, self._squared = np.abs(self._error), np.square(self._error)
        # Centred, because a large mean would swallow the digits of the variance.
        self._centred = labels - labels.mean()
        self._quantiles = Quantiles(self._absolute)

    def __call__(self, weights: Floats) -> dict[str, float]:
        """Bias is the mean of predicted less actual; R2 is undefined for constant labels."""
        total = float(weights.sum())
        squared = _mean(self._squared, weights, total)
        mean = _mean(self._centred, weights, total)
        variance = _mean(np.square(self._centred - mean), weights, total)
        values = {
            "mae": _mean(self._absolute, weights, total),
            "rmse": float(np.sqrt(squared)),
            "r2": 1 - squared / variance if variance > 0 else None,
            "median_absolute_error": self._quantiles.median(weights),
            "bias": _mean(self._error, weights, total),
        }
        return _defined(values)


class CalibrationError:
    """Expected calibration error over bins of equal width.

    `sum over bins of (rows in bin / rows) * |mean score in bin - share of hits in bin|`: Naeini,
    Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning",
    AAAI 2015; Guo et al., "On Calibration of Modern Neural Networks", ICML 2017. A bin holds its
    lower edge; the last one also 1. Chance alone makes it positive, the more the fewer the rows,
    and a bootstrap resample adds chance once more: its interval leans upwards.

    Args:
        score: `[rows]`, 0 to 1.
        hit: `[rows]`, whether that came true.
        bins: Number of bins.
    """

    def __init__(self, score: Scores, hit: Bools, bins: int) -> None:
        self._bin = bin_of(score, bins)
        self._excess = score.astype(np.float64) - hit

    def __call__(self, weights: Floats, total: float) -> float:
        """The error when row i counts `weights[i]` times, which sum to `total`."""
        return float(np.abs(np.bincount(self._bin, weights * self._excess)).sum()) / total


def log_losses(labels: npt.NDArray[np.int64], scores: Scores) -> Floats:
    """Minus the logarithm of each row's score for its own class: `[rows]`."""
    own = scores[np.arange(len(labels)), labels].astype(np.float64)
    losses: Floats = -np.log(np.clip(own, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
    return losses


def bin_of(score: Scores, bins: int) -> npt.NDArray[np.int64]:
    """Index of the bin of equal width that each score, 0 to 1, falls into."""
    return np.clip((score.astype(np.float64) * bins).astype(np.int64), 0, bins - 1)


def _mean_area(rankings: Iterable[Ranking], weights: Floats) -> float | None:
    """Mean AUC of each class against the rest, over the classes that have one."""
    areas = [area for ranking in rankings if (area := ranking(weights)[0]) is not None]
    return float(np.mean(areas)) if areas else None


def _mean(values: Floats, weights: Floats, total: float) -> float:
    return float(np.einsum("i,i", values, weights)) / total


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _defined(values: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
