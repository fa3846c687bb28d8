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
def test_the_roc_grid_keeps_the_area_of_all_rows(number):
    positive, score = rows(number)
    table = roc_points({"model": (positive, score)})
    x, y = table["false_positive_rate"], table["model"]
    assert len(table) == MOST_POINTS
    assert y.is_monotonic_increasing
    assert (x.iloc[0], x.iloc[-1], y.iloc[-1]) == (0, 1, 1)
    area = reference.roc_auc_score(positive, score)
    assert np.trapezoid(y, x) == pytest.approx(area, abs=2 / MOST_POINTS)


def test_roc_points_are_reached_by_some_threshold():
    positive, score = rows(300)
    false, true, _ = reference.roc_curve(positive, score, drop_intermediate=False)
    table = roc_points({"model": (positive, score)})
    expected = [true[false <= x + 1e-12].max() for x in table["false_positive_rate"]]
    assert table["model"].to_numpy() == pytest.approx(expected)


def test_precision_is_that_where_the_recall_is_first_reached():
    positive, score = rows(300)
    precision, recall, _ = reference.precision_recall_curve(positive, score)
    table = pr_points({"model": (positive, score)})
    # scikit-learn goes from full recall down and ends with a point of its own, (0, 1).
    precision, recall = precision[-2::-1], recall[-2::-1]
    expected = [precision[np.argmax(recall >= x - 1e-12)] for x in table["recall"]]
    assert len(table) == MOST_POINTS
    assert table["model"].to_numpy() == pytest.approx(expected)


def test_curves_without_both_kinds_of_rows_are_left_out():
    positive, score = rows(50)
    both = {"none": (np.zeros(50, bool), score), "some": (positive, score)}
    assert list(roc_points({"none": both["none"]}).columns) == ["false_positive_rate"]
    assert list(pr_points(both).columns) == ["recall", "some"]


def test_a_class_that_is_called_like_the_grid_keeps_its_curve():
    positive, score = rows(50)
    assert list(pr_points({"recall": (positive, score)})) == ["recall", "recall (class)"]


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
    sums = table.drop(columns="score").sum()
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
