"""The points behind the pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from pipeline.evaluate.points import (
    MOST_POINTS,
    calibration_points,
    confusion_points,
    fit_points,
    pr_points,
    residual_points,
    roc_points,
    score_points,
)


def rows(number: int, seed: int = 0):
    draw = np.random.default_rng(seed)
    positive = draw.random(number) < 0.3
    score = np.clip(0.3 * positive + draw.random(number) * 0.7, 0, 1)
    return positive, score


@pytest.mark.parametrize("number", [20, 5000])
def test_few_points_still_have_the_area_of_all_rows(number):
    positive, score = rows(number)
    table = roc_points({"model": (positive, score)})
    assert len(table) <= MOST_POINTS + 1
    x, y = table["false_positive_rate"], table["true_positive_rate"]
    assert (x.iloc[0], y.iloc[0], x.iloc[-1], y.iloc[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(reference.roc_auc_score(positive, score), abs=2e-3)


def test_precision_recall_points_lie_on_the_curve():
    positive, score = rows(5000)
    table = pr_points({"model": (positive, score)})
    precision, recall, _ = reference.precision_recall_curve(positive, score)
    expected = dict(zip(recall.round(9), precision, strict=True))
    assert len(table) <= MOST_POINTS
    assert table["recall"].is_monotonic_increasing
    found = dict(zip(table["recall"].round(9), table["precision"], strict=True))
    # The first of several points of one recall is the one with the highest precision.
    assert all(value <= expected[key] + 1e-9 for key, value in found.items())


def test_curves_without_both_kinds_of_rows_are_left_out():
    positive, score = rows(50)
    assert roc_points({"none": (np.zeros(50, bool), score)}).empty
    both = {"none": (np.zeros(50, bool), score), "some": (positive, score)}
    assert set(pr_points(both)["curve"]) == {"some"}


def test_calibration_points_equal_scikit_learn():
    positive, score = rows(3000)
    table = calibration_points(score, positive, 10)
    share, mean = calibration_curve(positive, score, n_bins=10)
    assert table["share"].to_numpy() == pytest.approx(share)
    assert table["mean_score"].to_numpy() == pytest.approx(mean)
    assert table["rows"].sum() == 3000
    assert ((table["low"] <= table["share"]) & (table["share"] <= table["high"])).all()


def test_the_interval_of_a_share_is_wilsons():
    table = calibration_points(np.full(10, 0.2), np.r_[np.ones(3, bool), np.zeros(7, bool)], 5)
    # 3 of 10: 0.1078 to 0.6032 (Wilson 1927; the same in statsmodels and R's prop.test).
    assert table[["low", "high"]].to_numpy()[0] == pytest.approx([0.10779, 0.60322], abs=1e-4)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_confusion_points_count_every_row_once(pairs):
    labels, predicted = np.array(pairs).T
    table = confusion_points(labels, predicted, ("a", "b", "c"))
    expected = reference.confusion_matrix(labels, predicted, labels=range(3)).ravel()
    assert table["rows"].tolist() == expected.tolist()
    assert table["actual"].tolist() == ["a"] * 3 + ["b"] * 3 + ["c"] * 3


def test_score_points_count_every_row_once():
    positive, score = rows(500)
    table = score_points(score, {"no": ~positive, "yes": positive})
    sums = table.groupby("group")["rows"].sum()
    assert sums.to_dict() == {"no": (~positive).sum(), "yes": positive.sum()}


def test_values_are_grouped_along_the_prediction():
    draw = np.random.default_rng(0)
    predicted = draw.normal(size=1000)
    table = fit_points(predicted + 1, predicted)
    assert table["rows"].sum() == 1000
    assert (table["actual"] - table["predicted"]).to_numpy() == pytest.approx(1)
    assert (table["low"] <= table["high"]).all()
    assert residual_points(predicted + 1, predicted)["rows"].sum() == 1000


def test_two_rows_are_enough_for_the_points_of_values():
    labels, predicted = np.array([1.0, 2.0]), np.array([1.0, 1.0])
    assert fit_points(labels, predicted)["rows"].sum() == 2
    assert residual_points(labels, predicted)["rows"].sum() == 2
