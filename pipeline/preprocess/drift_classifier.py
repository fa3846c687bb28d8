"""The two-sample classifier: whether a model can tell two tables apart by all columns together.

Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests" (2017). It finds what no column
shows alone, such as two columns that used to go together and no longer do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pipeline.preprocess.drift_statistics import rank_p_value

_MOST_WORDS = 100
_ITERATIONS = 60
_SEED = 0
_HUGE = 1e300


def tell_apart(
    reference: Mapping[str, pd.Series[Any]], current: Mapping[str, pd.Series[Any]], most: int
) -> tuple[float, float, int]:
    """Fits on one half of the rows and asks about the other.

    Args:
        reference: Columns of float64 numbers or words.
        current: The same columns of the other table.
        most: Rows of each table that take part, at most.

    Returns:
        Area under the ROC curve on the rows that were not fitted on, its p value, and how many
        rows of each table took part.
    """
    rows = min(len(next(iter(side.values()))) for side in (reference, current))
    rows = min(rows, most)
    random = np.random.default_rng(_SEED)
    picked = [
        random.permutation(len(next(iter(side.values()))))[:rows] for side in (reference, current)
    ]
    table = {
        name: pd.concat([reference[name].iloc[picked[0]], current[name].iloc[picked[1]]])
        for name in reference
    }
    words = np.array([values.dtype.kind != "f" for values in table.values()])
    matrix = np.column_stack([_numbers(values) for values in table.values()])
    label = np.repeat([0, 1], rows)
    # Both tables are in a random order already: their first halves are a random half.
    fitted = np.tile(np.arange(rows) < rows // 2, 2)
    # Of a column without any value scikit-learn can make no bins.
    filled = ~np.isnan(matrix[fitted]).all(axis=0)
    if not filled.any():
        return 0.5, 0.5, rows
    matrix, words = matrix[:, filled], words[filled]
    model = HistGradientBoostingClassifier(
        max_iter=_ITERATIONS, categorical_features=words, random_state=_SEED, early_stopping=False
    )
    # On a busy machine OpenMP's threads wait for each other many times longer than they work.
    with threadpool_limits(limits=1, user_api="openmp"):
        model.fit(matrix[fitted], label[fitted])
        scores = model.predict_proba(matrix[~fitted])[:, 1]
    asked = rows - rows // 2
    auc = float(roc_auc_score(label[~fitted], scores))
    return auc, rank_p_value(auc, asked, asked), rows


def _numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    """Numbers as they are; words by their place among the commonest, NaN where missing."""
    if values.dtype.kind == "f":
        # Bins end midway between two numbers, whose sum has to be finite.
        return values.to_numpy(dtype=np.float64).clip(-_HUGE, _HUGE)
    words = values[values != ""].value_counts().index[:_MOST_WORDS]
    codes = words.get_indexer(pd.Index(values)).astype(np.float64)
    rare = np.where(values == "", np.nan, float(len(words)))
    return np.where(codes < 0, rare, codes)
