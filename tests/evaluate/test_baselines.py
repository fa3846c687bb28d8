"""The baselines: what they are, and that they are as strong as they claim."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from pipeline.core.encoding import Encoded, encode
from pipeline.core.records import LABEL
from pipeline.evaluate.baselines import (
    Answered,
    design_matrix,
    linear_scores,
    sampled_rows,
    trivial_scores,
)
from pipeline.evaluate.config import LinearConfig
from tests.evaluate.conftest import LABELS, features_for, table

CONFIG = LinearConfig(rows=1000, iterations=60, regularisation=1e-3)


def encoded(task: str, rows: int, seed: int) -> tuple[Answered, np.ndarray]:
    frame = table(task, rows, seed)
    labels = frame[LABEL].to_numpy()
    return Answered(encode(frame, features_for(task)), labels), labels


def nothing(task: str) -> Answered:
    none, labels = encoded(task, 1, 0)
    empty = Encoded(dense=none.encoded.dense[:0], indices=none.encoded.indices[:0])
    return Answered(empty, labels[:0])


def test_the_trivial_answer_is_the_training_share_or_mean():
    scores = trivial_scores(LABELS["multiclass"], np.array([0, 0, 1, 0]), 3)
    assert scores.tolist() == [[0.75, 0.25, 0.0]] * 3
    assert trivial_scores(LABELS["regression"], np.array([1.0, 4.0]), 2).tolist() == [2.5, 2.5]


def test_the_design_matrix_is_dense_columns_then_one_column_for_each_index():
    features = features_for("binary")
    rows = Encoded(
        dense=np.array([[1.5, -2.0], [0.0, 3.0]], np.float32),
        indices=np.array([[2], [0]], np.int32),
    )
    matrix = design_matrix(rows, features).toarray()
    assert matrix.tolist() == [[1.5, -2.0, 0, 0, 1, 0, 0], [0.0, 3.0, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_logistic_scores_are_probabilities_that_beat_the_trivial_ones(task):
    features = features_for(task)
    train, labels = encoded(task, 900, 0)
    test, truth = encoded(task, 400, 1)
    scores = linear_scores(train, encoded(task, 300, 2)[0], test.encoded, features, CONFIG)
    trivial = trivial_scores(features.label, labels, 400)
    assert scores.sum(axis=1) == pytest.approx(1)
    own = np.arange(400), truth
    assert np.log(scores[own]).mean() > np.log(trivial[own]).mean() + 0.1


def test_ridge_is_least_squares_where_the_penalty_is_small():
    features = features_for("regression")
    train, labels = encoded("regression", 900, 0)
    test, _ = encoded("regression", 50, 1)
    got = linear_scores(train, nothing("regression"), test.encoded, features, CONFIG)
    exact = LinearRegression().fit(design_matrix(train.encoded, features).toarray(), labels)
    expected = exact.predict(design_matrix(test.encoded, features).toarray())
    assert got == pytest.approx(expected, abs=0.01)


def test_a_fit_that_the_validation_split_does_not_confirm_is_stopped():
    """Noise labels and a wide table: every further step only learns the noise."""
    draw = np.random.default_rng(0)
    features = features_for("binary")
    train, check, test = (
        Answered(
            Encoded(
                dense=draw.normal(size=(40, 2)).astype(np.float32) ** 3,
                indices=draw.integers(0, 5, (40, 1)).astype(np.int32),
            ),
            np.r_[0, 1, draw.integers(0, 2, 38)],
        )
        for _ in range(3)
    )
    stopped = linear_scores(train, check, test.encoded, features, CONFIG)
    unstopped = linear_scores(train, nothing("binary"), test.encoded, features, CONFIG)
    own = np.arange(40), check.labels
    on_check = [
        np.log(linear_scores(train, guide, check.encoded, features, CONFIG)[own]).mean()
        for guide in (check, nothing("binary"))
    ]
    assert on_check[0] >= on_check[1]
    assert stopped.shape == unstopped.shape == (40, 2)


@pytest.mark.parametrize("missing", [0, 2])
def test_a_class_without_training_rows_gets_no_score(missing):
    train, labels = encoded("multiclass", 300, 0)
    kept = labels != missing
    part = Answered(
        Encoded(dense=train.encoded.dense[kept], indices=train.encoded.indices[kept]), labels[kept]
    )
    scores = linear_scores(part, train, train.encoded, features_for("multiclass"), CONFIG)
    assert (scores[:, missing] == 0).all()
    assert scores.sum(axis=1) == pytest.approx(1)


def test_a_training_split_of_one_class_predicts_it():
    train, labels = encoded("binary", 30, 0)
    one = Answered(train.encoded, np.ones_like(labels))
    scores = linear_scores(one, train, train.encoded, features_for("binary"), CONFIG)
    assert scores.tolist() == [[0.0, 1.0]] * 30


def test_a_large_training_split_is_sampled_without_repeats_from_the_seed():
    few = LinearConfig(rows=10, iterations=1, regularisation=1.0)
    chosen = sampled_rows(1000, few, seed=1)
    assert len(set(chosen.tolist())) == 10
    assert (np.diff(chosen) > 0).all()
    assert (chosen == sampled_rows(1000, few, seed=1)).all()
    assert (sampled_rows(9, few, seed=1) == np.arange(9)).all()
