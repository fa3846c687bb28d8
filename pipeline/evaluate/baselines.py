"""What a model has to beat: predicting without looking at the row, and a linear model.

Both are fitted on the training split and see the very features the model sees.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.core.encoding import Encoded
from pipeline.core.features import FeatureSet, Label
from pipeline.evaluate.config import LinearConfig
from pipeline.evaluate.measures import Labels, Scores


def trivial_scores(label: Label, train_labels: Labels, rows: int) -> Scores:
    """The same answer for every row: the training share of each class, or the training mean.

    Args:
        label: What is predicted.
        train_labels: `[training rows]`, class indices or values.
        rows: Rows to answer.

    Returns:
        `[rows, classes]` probabilities, or `[rows]` values.
    """
    if label.task == "regression":
        return np.full(rows, float(train_labels.mean()))
    counts = np.bincount(train_labels.astype(np.int64), minlength=len(label.classes))
    return np.tile(counts / counts.sum(), (rows, 1))


def sampled_rows(rows: int, config: LinearConfig, seed: int) -> npt.NDArray[np.int64]:
    """Which training rows the linear baseline is fitted on, ascending: all, or a random part."""
    if rows <= config.rows:
        return np.arange(rows)
    drawn = np.random.default_rng(seed).choice(rows, config.rows, replace=False)
    return np.sort(drawn)


def linear_scores(
    train: Encoded,
    train_labels: Labels,
    test: Encoded,
    features: FeatureSet,
    config: LinearConfig,
) -> Scores:
    """Fits logistic regression (L-BFGS) or ridge regression and answers the test rows.

    Every dense column is one input, every value of an index column another. The solver stops
    after `config.iterations` steps: the last digits of its convergence change no metric.

    Args:
        train: Encoded training rows.
        train_labels: `[training rows]`, class indices or values.
        test: Encoded rows to answer.
        features: The fitted features that encoded both.
        config: Strength of the penalty and number of steps.

    Returns:
        `[test rows, classes]` probabilities, 0 for a class without training rows; or `[test rows]`
        values.
    """
    known, asked = design_matrix(train, features), design_matrix(test, features)
    if features.label.task == "regression":
        ridge = Ridge(alpha=config.regularisation, solver="lsqr", max_iter=config.iterations)
        answers: Scores = ridge.fit(known, train_labels).predict(asked)
        return answers
    present = np.unique(train_labels).astype(np.int64)
    scores = np.zeros((asked.shape[0], len(features.label.classes)))
    if len(present) == 1:
        scores[:, present] = 1.0
        return scores
    logistic = LogisticRegression(C=1 / config.regularisation, max_iter=config.iterations)
    with warnings.catch_warnings():
        # Stopping early is the plan, not an accident.
        warnings.simplefilter("ignore", ConvergenceWarning)
        logistic.fit(known, train_labels)
    scores[:, present] = logistic.predict_proba(asked)
    return scores


def design_matrix(encoded: Encoded, features: FeatureSet) -> sparse.csr_matrix:
    """Dense columns, then one 0/1 column for each value of each index column.

    Returns:
        float32 `[rows, dense columns + sum of cardinalities]`.
    """
    rows, width = encoded.dense.shape
    sizes = [column.cardinality for column in features.index_columns]
    first = width + np.cumsum([0, *sizes])
    places = (encoded.indices + first[:-1]).astype(np.int32)
    columns = np.hstack([np.broadcast_to(np.arange(width, dtype=np.int32), (rows, width)), places])
    values = np.hstack([encoded.dense, np.ones(places.shape, np.float32)])
    entries = columns.shape[1]
    # Narrow numbers where they do: SciPy gives both index arrays the wider of their types.
    narrow = np.int32 if rows * entries < np.iinfo(np.int32).max else np.int64
    pointers = entries * np.arange(rows + 1, dtype=narrow)
    return sparse.csr_matrix(
        (values.ravel(), columns.ravel(), pointers), shape=(rows, int(first[-1]))
    )
