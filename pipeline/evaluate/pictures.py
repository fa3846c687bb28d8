"""Which pictures an evaluation shows, by task; each is drawn from its own table of points."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.core.features import Label
from pipeline.evaluate import points
from pipeline.evaluate.charts import (
    draw_calibration,
    draw_confusion,
    draw_fit,
    draw_pr,
    draw_residuals,
    draw_roc,
    draw_scores,
)
from pipeline.evaluate.drawing import PALETTE, Gallery, short
from pipeline.evaluate.evidence import MODEL
from pipeline.evaluate.measures import Labels, Scores
from pipeline.evaluate.ranking import Floats

_MOST_CURVES = len(PALETTE)


def draw_binary(
    gallery: Gallery,
    label: Label,
    labels: Labels,
    models: Mapping[str, Scores],
    bins: int,
    *,
    weights: Floats | None = None,
) -> None:
    """Confusion matrix, ROC, precision-recall, calibration and scores of two classes.

    Args:
        gallery: Where to.
        label: Names the classes.
        labels: int64 `[rows]`.
        models: Scores `[rows, 2]` by name: MODEL, and others to draw beside it.
        bins: Bins of the calibration picture.
        weights: `[rows]`, how much each row counts in curves and calibration; None where all count
            alike. Matrix and histogram show rows.
    """
    positive = labels == 1
    others = [name for name in models if name != MODEL]
    curves = {name: (positive, models[name][:, 1]) for name in [*others, MODEL]}
    score = models[MODEL][:, 1]
    draw_confusion(gallery, label.classes, labels, models[MODEL])
    draw_roc(gallery, points.roc_points(curves, weights))
    guessed = float(np.average(positive, weights=weights))
    draw_pr(gallery, points.pr_points(curves, weights), guessed)
    share = f"share of '{short(label.classes[1])}'"
    calibration = points.calibration_points(score, positive, bins, weights)
    draw_calibration(gallery, calibration, share)
    groups = dict(zip(label.classes, (~positive, positive), strict=True))
    title = f"Scores for '{short(label.classes[1])}'"
    draw_scores(gallery, points.score_points(score, groups), title)


def draw_multiclass(
    gallery: Gallery,
    label: Label,
    labels: Labels,
    scores: Scores,
    bins: int,
    *,
    weights: Floats | None = None,
) -> None:
    """The same of three or more classes: each against the rest, calibration of the top score."""
    counts = np.bincount(labels.astype(np.int64), minlength=len(label.classes))
    drawn = np.sort(np.argsort(-counts, kind="stable")[:_MOST_CURVES])
    curves = {label.classes[k]: (labels == k, scores[:, k]) for k in drawn}
    top, right = scores.max(axis=1), scores.argmax(axis=1) == labels
    draw_confusion(gallery, label.classes, labels, scores)
    draw_roc(gallery, points.roc_points(curves, weights))
    draw_pr(gallery, points.pr_points(curves, weights), None)
    calibration = points.calibration_points(top, right, bins, weights)
    draw_calibration(gallery, calibration, "share that is right")
    groups = {"wrong": ~right, "right": right}
    draw_scores(gallery, points.score_points(top, groups), "Highest score of each row")


def draw_regression(gallery: Gallery, labels: Labels, predicted: Scores) -> None:
    """Predicted against actual values, and the residuals."""
    draw_fit(gallery, points.fit_points(labels, predicted), labels, predicted)
    draw_residuals(gallery, points.residual_points(labels, predicted))
