"""What a model has to beat: predicting without looking at the row, and a linear model.

Both are fitted on the training split, with the weights of its rows where it has them, and see the
very features the model sees.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.core.encoding import Encoded
from pipeline.core.features import FeatureSet, Label
from pipeline.evaluate.config import LinearConfig
from pipeline.evaluate.measures import Labels, Scores, log_losses
from pipeline.evaluate.ranking import Floats

_ROUND = 10
"""Steps of the solver between two looks at the validation split."""


@dataclass(frozen=True)
class Answered:
    """Encoded rows with their labels.

    Attributes:
        encoded: The rows.
        labels: `[rows]`, class indices or values.
        weights: `[rows]`, how much each row counts, of mean 1 over the training split; None where
            all count alike.
    """

    encoded: Encoded
    labels: Labels
    weights: Floats | None = None


def trivial_scores(
    label: Label, train_labels: Labels, rows: int, weights: Floats | None = None
) -> Scores:
    """The same answer for every row: the training share of each class, or the training mean.

    Args:
        label: What is predicted.
        train_labels: `[training rows]`, class indices or values.
        rows: Rows to answer.
        weights: `[training rows]`, how much each counts; None where all count alike.

    Returns:
        `[rows, classes]` probabilities, or `[rows]` values.
    """
    if label.task == "regression":
        return np.full(rows, float(np.average(train_labels, weights=weights)))
    counts = np.bincount(train_labels.astype(np.int64), weights, minlength=len(label.classes))
    return np.tile(counts / counts.sum(), (rows, 1))


def sampled_rows(rows: int, config: LinearConfig, seed: int) -> npt.NDArray[np.int64]:
    """Which training rows the linear baseline is fitted on, ascending: all, or a random part."""
    if rows <= config.rows:
        return np.arange(rows)
    drawn = np.random.default_rng(seed).choice(rows, config.rows, replace=False)
    return np.sort(drawn)


def linear_scores(
    train: Answered,
    validation: Answered,
    test: Encoded,
    features: FeatureSet,
    config: LinearConfig,
) -> Scores:
    """Fits logistic regression (L-BFGS) or ridge regression and answers the test rows.

    Every dense column is one input, every value of an index column another. Logistic regression
    stops where the log loss on the validation split stops falling: the same privilege that the
    model's own early stopping has, without which a late training month would flatter the model.

    Args:
        train: Rows to fit.
        validation: Rows that say when to stop; may be none.
        test: Rows to answer.
        features: The fitted features that encoded them all.
        config: Strength of the penalty and number of steps.

    Returns:
        `[test rows, classes]` probabilities, 0 for a class without training rows; or `[test rows]`
        values.
    """
    known, asked = design_matrix(train.encoded, features), design_matrix(test, features)
    if features.label.task == "regression":
        ridge = Ridge(alpha=config.regularisation, solver="lsqr", max_iter=config.iterations)
        ridge.fit(known, train.labels, sample_weight=train.weights)
        answers: Scores = ridge.predict(asked)
        return answers
    classes = len(features.label.classes)
    if len(np.unique(train.labels)) == 1:
        return np.eye(classes)[np.full(asked.shape[0], int(train.labels[0]))]
    fitted = _logistic(
        _Posed(known, train.labels, train.weights),
        _Posed(design_matrix(validation.encoded, features), validation.labels, validation.weights),
        config,
    )
    return fitted.scores(asked, classes)


@dataclass(frozen=True)
class _Posed:
    """Rows as a design matrix, with labels and weights as those of `Answered`."""

    matrix: sparse.csr_matrix
    labels: Labels
    weights: Floats | None


@dataclass(frozen=True)
class _Logistic:
    """A fitted logistic regression and its coefficients at the best step."""

    model: LogisticRegression
    coefficients: npt.NDArray[np.floating]
    intercepts: npt.NDArray[np.floating]

    def scores(self, asked: sparse.csr_matrix, classes: int) -> Scores:
        """Probabilities `[rows, classes]`."""
        self.model.coef_, self.model.intercept_ = self.coefficients, self.intercepts
        scores = np.zeros((asked.shape[0], classes))
        scores[:, self.model.classes_.astype(np.int64)] = self.model.predict_proba(asked)
        return scores


def _logistic(train: _Posed, check: _Posed, config: LinearConfig) -> _Logistic:
    """Fits round by round until a round no longer lowers the log loss of the rows to check."""
    classes = 1 + int(max(train.labels.max(), check.labels.max(initial=0)))
    if not len(check.labels):
        check = train

    def loss(here: _Logistic) -> float:
        scores = here.scores(check.matrix, classes)
        losses = log_losses(check.labels.astype(np.int64), scores)
        return float(np.average(losses, weights=check.weights))

    rounds = _rounds(train, config)
    best = next(rounds)
    least = loss(best)
    for here in rounds:
        now = loss(here)
        if now >= least:
            break
        best, least = here, now
    return best


def _rounds(train: _Posed, config: LinearConfig) -> Iterator[_Logistic]:
    model = LogisticRegression(C=1 / config.regularisation, warm_start=True)
    for done in range(0, config.iterations, _ROUND):
        model.set_params(max_iter=min(_ROUND, config.iterations - done))
        with warnings.catch_warnings():
            # Stopping before the end is the plan, not an accident.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train.matrix, train.labels, sample_weight=train.weights)
        yield _Logistic(model, model.coef_.copy(), model.intercept_.copy())


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
