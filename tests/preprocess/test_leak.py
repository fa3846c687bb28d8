"""A column that says the label is found, and none that merely helps or remembers is accused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from pipeline.core.features import Task
from pipeline.core.records import LABEL
from pipeline.preprocess.leak import auc, leak_scores

_RANDOM = np.random.default_rng(5)
_ROWS = 3000


def _score(values: Any, label: Any, task: Task = "binary") -> float:
    frame = pd.DataFrame({"column": values, LABEL: label})
    half = len(frame) // 2
    return leak_scores(frame[:half], frame[half:], ["column"], task)["column"]


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auc_is_that_of_scikit_learn(rows: list[tuple[bool, int]]) -> None:
    positive = np.array([row[0] for row in rows])
    scores = np.array([float(row[1]) for row in rows])
    expected = roc_auc_score(positive, scores) if 0 < positive.sum() < len(rows) else 0.5
    assert auc(positive, scores) == pytest.approx(expected)


_LABEL = _RANDOM.integers(0, 2, _ROWS)
_NOISE = _RANDOM.normal(size=_ROWS)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(_LABEL.astype(float), id="the label itself"),
        pytest.param(-7.0 * _LABEL + 0.5 * _RANDOM.random(_ROWS), id="downwards with noise"),
        pytest.param(np.where(_LABEL, np.nan, _NOISE), id="missing where positive"),
        pytest.param(np.where(_LABEL, np.abs(_NOISE) + 1, -1.0 * (_NOISE > 0)), id="in parts"),
        pytest.param(
            np.where(_LABEL == 1, _RANDOM.choice([1.0, 5.0], _ROWS), 3.0), id="from both sides"
        ),
        pytest.param(pd.Series(_LABEL).map({0: "closed", 1: "refunded"}), id="in words"),
    ],
)
def test_leaks(values: Any) -> None:
    assert _score(values, _LABEL) > 0.995


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(_NOISE, id="noise"),
        pytest.param(_LABEL + _NOISE, id="a good feature"),
        pytest.param(pd.Series(range(_ROWS)).astype(str), id="a word for each row"),
    ],
)
def test_no_leaks(values: Any) -> None:
    assert _score(values, _LABEL) < 0.9


def test_every_class_must_be_given_away() -> None:
    label = _RANDOM.integers(0, 3, _ROWS)
    assert _score(label * 2.0, label, "multiclass") == pytest.approx(1.0)
    assert _score((label == 1) * 1.0, label, "multiclass") < 0.9


def test_regression() -> None:
    label = _RANDOM.normal(size=_ROWS)
    assert _score(label * -3 + 1, label, "regression") == pytest.approx(1.0)
    assert _score(np.exp(label), label, "regression") > 0.99
    assert _score(label + _RANDOM.normal(size=_ROWS), label, "regression") < 0.7


def test_too_few_rows_accuse_nobody() -> None:
    label = np.array([0, 1] * 6)
    assert _score(label.astype(float), label) == 0.0


def test_a_leak_beside_many_zeros_is_found():
    """Values above zero must not share the cell of the zeros, of which there are most."""
    random = np.random.default_rng(0)
    label = random.choice(3, 3000, p=[0.96, 0.02, 0.02])
    knows = np.where(label > 0, label + random.random(3000) / 2, 0.0)
    frame = pd.DataFrame({"knows": knows, LABEL: label})
    scores = leak_scores(frame[:2000], frame[2000:], ["knows"], "multiclass")
    assert scores["knows"] > 0.999


@pytest.mark.parametrize("size", [1e-300, 1e160, 1e300])
def test_numbers_of_any_size_are_scored(size: float):
    label = np.random.default_rng(0).normal(size=900)
    frame = pd.DataFrame({"same": label * size, LABEL: label})
    scores = leak_scores(frame[:600], frame[600:], ["same"], "regression")
    assert scores["same"] == pytest.approx(1)
