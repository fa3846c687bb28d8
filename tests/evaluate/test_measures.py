"""Every metric against scikit-learn, and against itself on repeated rows."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from pipeline.evaluate.measures import bin_of, measure_of
from pipeline.evaluate.ranking import Quantiles, Ranking

BINS = 10


def binary_rows(seed: int, rows: int, levels: int):
    """Labels with both classes, scores with ties when `levels` is small, weights 0 to 3."""
    draw = np.random.default_rng(seed)
    labels = np.r_[0, 1, draw.integers(0, 2, rows - 2)]
    positive = (draw.integers(1, levels + 1, rows) / (levels + 1)).astype(np.float32)
    weights = np.r_[1, 1, draw.integers(0, 4, rows - 2)].astype(float)
    return labels, np.stack([1 - positive, positive], axis=1), weights


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 80), st.sampled_from([2, 7, 10**6]))
def test_binary_metrics_equal_scikit_learn_with_weights(seed, rows, levels):
    labels, scores, weights = binary_rows(seed, rows, levels)
    got = measure_of("binary", labels, scores, BINS)(weights)
    score, predicted = scores[:, 1], scores.argmax(axis=1)
    weighted = {"sample_weight": weights}
    expected = {
        "auc": reference.roc_auc_score(labels, score, **weighted),
        "pr_auc": reference.average_precision_score(labels, score, **weighted),
        "accuracy": reference.accuracy_score(labels, predicted, **weighted),
        "precision": reference.precision_score(labels, predicted, zero_division=0, **weighted),
        "recall": reference.recall_score(labels, predicted, **weighted),
        "f1": reference.f1_score(labels, predicted, **weighted),
        "log_loss": reference.log_loss(labels, score.astype(float), **weighted),
        "brier": reference.brier_score_loss(labels, score, **weighted),
        "calibration_error": calibration_error(labels, score, weights),
    }
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-7)


def calibration_error(hits, score, weights):
    """The definition, bin by bin."""
    error = 0.0
    for place in range(BINS):
        low, high = place / BINS, (place + 1) / BINS
        inside = (score >= low) & ((score < high) | (place == BINS - 1))
        if weights[inside].sum():
            mean = np.average(score[inside].astype(float), weights=weights[inside])
            share = np.average(hits[inside], weights=weights[inside])
            error += weights[inside].sum() / weights.sum() * abs(mean - share)
    return error


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 60), st.integers(3, 6))
def test_multiclass_metrics_equal_scikit_learn_with_weights(seed, rows, classes):
    draw = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), draw.integers(0, classes, rows)]
    scores = draw.dirichlet(np.ones(classes), len(labels)).astype(np.float32)
    weights = np.r_[np.ones(classes), draw.integers(0, 4, rows)].astype(float)
    got = measure_of("multiclass", labels, scores, BINS)(weights)
    predicted, weighted = scores.argmax(axis=1), {"sample_weight": weights}
    truth = np.eye(classes)[labels]
    areas = [reference.roc_auc_score(truth[:, k], scores[:, k], **weighted) for k in range(classes)]
    with warnings.catch_warnings():
        # Scores of float32 sum to one within 1e-7, which scikit-learn remarks on.
        warnings.simplefilter("ignore", UserWarning)
        log_loss = reference.log_loss(labels, scores, labels=range(classes), **weighted)
    f1 = reference.f1_score(labels, predicted, average="macro", zero_division=0, **weighted)
    expected = {
        "accuracy": reference.accuracy_score(labels, predicted, **weighted),
        "auc_ovr": np.mean(areas),
        "balanced_accuracy": reference.balanced_accuracy_score(labels, predicted, **weighted),
        "macro_f1": f1,
        "log_loss": log_loss,
        "brier": np.average(((scores - truth) ** 2).sum(axis=1), weights=weights),
        "calibration_error": calibration_error(labels == predicted, scores.max(axis=1), weights),
    }
    assert got == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(3, 60), st.sampled_from([0.0, 1e6]))
def test_regression_metrics_equal_scikit_learn_with_weights(seed, rows, level):
    draw = np.random.default_rng(seed)
    labels = np.r_[0, 1, draw.normal(size=rows)] + level
    predicted = labels + draw.integers(-3, 4, len(labels))
    weights = np.r_[1, 1, draw.integers(0, 4, rows)].astype(float)
    got = measure_of("regression", labels, predicted, BINS)(weights)
    weighted = {"sample_weight": weights}
    repeated = np.repeat(np.abs(predicted - labels), weights.astype(int))
    expected = {
        "mae": reference.mean_absolute_error(labels, predicted, **weighted),
        "rmse": reference.root_mean_squared_error(labels, predicted, **weighted),
        "r2": reference.r2_score(labels, predicted, **weighted),
        "median_absolute_error": np.median(repeated),
        "bias": np.average(predicted - labels, weights=weights),
    }
    assert got == pytest.approx(expected, rel=1e-7, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["binary", "multiclass", "regression"]),
    st.integers(0, 10**6),
    st.integers(5, 40),
)
def test_a_weight_is_a_number_of_copies(task, seed, rows):
    draw = np.random.default_rng(seed)
    classes = {"binary": 2, "multiclass": 4, "regression": 0}[task]
    labels = draw.integers(0, classes, rows) if classes else draw.normal(size=rows)
    scores = draw.dirichlet(np.ones(classes), rows) if classes else draw.normal(size=rows)
    weights = np.r_[1, draw.integers(0, 3, rows - 1)]
    copies = np.repeat(np.arange(rows), weights)
    weighted = measure_of(task, labels, scores, BINS)(weights.astype(float))
    copied = measure_of(task, labels[copies], scores[copies], BINS)(np.ones(len(copies)))
    assert weighted == pytest.approx(copied, rel=1e-9, abs=1e-12)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=30))
def test_auc_is_the_share_of_pairs_won(rows):
    positive = np.array([hit for hit, _ in rows])
    scores = np.array([score for _, score in rows], dtype=float)
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    auc, _ = Ranking(positive, scores)(np.ones(len(rows)))
    assert auc == (pytest.approx(np.mean(pairs)) if pairs else None)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=12), st.data())
def test_weighted_median_is_the_median_of_copies(values, data):
    counts = st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values))
    weights = data.draw(counts.filter(any))
    got = Quantiles(np.array(values, dtype=float)).median(np.array(weights, dtype=float))
    assert got == np.median(np.repeat(values, weights))


def test_one_class_leaves_ranking_and_recall_undefined():
    scores = np.array([[0.9, 0.1], [0.4, 0.6]])
    got = measure_of("binary", np.zeros(2, dtype=np.int64), scores, BINS)(np.ones(2))
    assert not {"auc", "pr_auc", "recall"} & set(got)
    assert got["accuracy"] == 0.5
    assert got["precision"] == 0.0
    assert np.isfinite(list(got.values())).all()


def test_constant_scores_know_nothing_but_are_measured():
    labels = np.array([0, 0, 0, 1])
    got = measure_of("binary", labels, np.tile([0.75, 0.25], (4, 1)), BINS)(np.ones(4))
    assert got["auc"] == 0.5
    assert got["pr_auc"] == 0.25
    assert got["calibration_error"] == pytest.approx(0)


def test_a_certain_and_wrong_score_has_a_finite_log_loss():
    scores = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    got = measure_of("binary", np.array([0, 1]), scores, BINS)(np.ones(2))
    assert got["log_loss"] == pytest.approx(-np.log(np.finfo(np.float32).eps))


def test_a_constant_label_leaves_r2_undefined():
    got = measure_of("regression", np.full(3, 2.0), np.array([1.0, 2.0, 4.0]), BINS)(np.ones(3))
    assert "r2" not in got
    assert got["bias"] == pytest.approx(1 / 3)


def test_very_many_classes_are_ranked_once_without_interval():
    draw = np.random.default_rng(0)
    labels, scores = draw.integers(0, 60, 400), draw.dirichlet(np.ones(60), 400)
    measure = measure_of("multiclass", labels, scores, BINS)
    areas = [
        reference.roc_auc_score(labels == k, scores[:, k]) for k in range(60) if (labels == k).any()
    ]
    assert measure.fixed == {"auc_ovr": pytest.approx(np.mean(areas))}
    assert "auc_ovr" not in measure(np.ones(400))


def test_bins_hold_their_lower_edge_and_the_last_one_also_one():
    assert bin_of(np.array([0.0, 0.1, 0.5, 0.99, 1.0]), 10).tolist() == [0, 1, 5, 9, 9]
