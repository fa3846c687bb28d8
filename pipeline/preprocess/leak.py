"""Looks for leaking columns: one column alone that predicts the label almost perfectly.

Such a column mostly says the label in other words, or was written after the fact. A column's
score is that of the best simple predictor of one column: the label's frequency (or mean) in each
cell, a cell being a word or a quantile bin, fitted on the training split; for a number also the
number itself, up or down. It is the smaller of the scores on train and on validation, so that a
column of many words is not accused of what it only remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.console import say
from pipeline.core.errors import DataError
from pipeline.core.features import Task
from pipeline.core.records import LABEL
from pipeline.preprocess.config import PreprocessConfig
from pipeline.preprocess.profile_statistics import cell_edges, pearson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_BINS = 256
_ROWS_A_BIN = 20
"""Fewer training rows in a quantile bin would only remember."""
_FEWEST = 5
"""A class with fewer validation rows says nothing about a column."""
_MOST_ROWS = 50_000
"""A leak shows in a part of the rows as well as in all."""


@dataclass(frozen=True)
class Suspect:
    """A column that knows too much.

    Attributes:
        column: Its name.
        score: AUC of the worst-predicted class against the rest, or R2.
    """

    column: str
    score: float


def refuse_leaks(
    train: pd.DataFrame,
    validation: pd.DataFrame,
    columns: Sequence[str],
    task: Task,
    rules: PreprocessConfig,
) -> list[Suspect]:
    """Stops, or warns, where a column leaks the label.

    Returns:
        The columns warned of.

    Raises:
        DataError: A column leaks, and `preprocess.leakage` is error.
    """
    scores = leak_scores(train, validation, columns, task)
    found = [Suspect(name, score) for name, score in scores.items() if score >= rules.leakage_score]
    if not found:
        return []
    measure = "R2" if task == "regression" else "AUC"
    named = ", ".join(f"'{one.column}' ({measure} {one.score:.4f})" for one in found)
    message = f"a column alone predicts the label almost perfectly: {named}"
    if rules.leakage == "error":
        raise DataError(
            message,
            expected=f"{measure} below {rules.leakage_score:g} from one column: most likely it is "
            "known only after the label, or says it in other words",
            remedy="remove it from data.columns; where it is right, set preprocess.leakage=warn",
        )
    say(f"  warning: {message}")
    return found


def leak_scores(
    train: pd.DataFrame, validation: pd.DataFrame, columns: Sequence[str], task: Task
) -> Mapping[str, float]:
    """The score of each column, 0 to 1; see the head of this module.

    Args:
        train: Training rows in served dtypes, with `LABEL`.
        validation: Validation rows.
        columns: Which columns to look at.
        task: Kind of label.
    """
    parts = [_thinned(train), _thinned(validation)]
    labels = [part[LABEL].to_numpy() for part in parts]
    return {name: _score([part[name] for part in parts], labels, task) for name in columns}


def auc(positive: NDArray[np.bool_], scores: Floats) -> float:
    """Area under the ROC curve: how often a positive row has the higher score, ties half.

    The Mann-Whitney statistic from mid-ranks (Hanley and McNeil, Radiology 143, 1982); 0.5 where
    one of the classes has no row.
    """
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if not positives or not negatives:
        return 0.5
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    total = float(ranks[places][positive].sum())
    return (total - positives * (positives + 1) / 2) / (positives * negatives)


def _thinned(table: pd.DataFrame) -> pd.DataFrame:
    step = -(-len(table) // _MOST_ROWS)
    if step <= 1:
        return table
    return table.take(np.arange(0, len(table), max(step, 1)))


def _score(values: list[pd.Series[Any]], labels: list[NDArray[Any]], task: Task) -> float:
    cells = _cells(values)
    numbers = [_filled(one) for one in values] if values[0].dtype.kind == "f" else None
    if task == "regression":
        return _regression_score(cells, numbers, labels)
    sides = [np.bincount(side) for side in labels]
    classes = [c for c in range(len(sides[1])) if _seen(sides, c)]
    if len(classes) < 2:
        return 0.0
    return min(_class_score(cells, numbers, [side == c for side in labels]) for c in classes)


def _seen(sides: list[Ints], which: int) -> bool:
    return all(len(side) > which and side[which] >= _FEWEST for side in sides)


def _class_score(
    cells: list[Ints], numbers: list[Floats] | None, positive: list[NDArray[np.bool_]]
) -> float:
    frequencies = _cell_means(cells, positive[0].astype(np.float64))
    ways = [[auc(side, f) for side, f in zip(positive, frequencies, strict=True)]]
    if numbers is not None:
        up = [auc(side, number) for side, number in zip(positive, numbers, strict=True)]
        ways += [up, [1 - area for area in up]]
    return max(min(way) for way in ways)


def _regression_score(
    cells: list[Ints], numbers: list[Floats] | None, labels: list[NDArray[Any]]
) -> float:
    ways = [list(_r2(_cell_means(cells, labels[0]), labels))]
    if numbers is not None:
        ways.append([_squared_correlation(n, y) for n, y in zip(numbers, labels, strict=True)])
    return max(min(way) for way in ways)


def _r2(predicted: list[Floats], labels: list[NDArray[Any]]) -> Iterator[float]:
    for guess, label in zip(predicted, labels, strict=True):
        spread = float(((label - label.mean()) ** 2).sum())
        yield 1 - float(((label - guess) ** 2).sum()) / spread if spread else 0.0


def _squared_correlation(number: Floats, label: Floats) -> float:
    return (pearson(number, label) or 0.0) ** 2


def _cell_means(cells: list[Ints], label: Floats) -> list[Floats]:
    """Mean label of each row's cell on the training rows; of all rows for an unseen cell."""
    size = max(int(side.max(initial=0)) for side in cells) + 1
    counts = np.bincount(cells[0], minlength=size)
    sums = np.bincount(cells[0], weights=label, minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), label.mean())
    return [means[side] for side in cells]


def _cells(values: list[pd.Series[Any]]) -> list[Ints]:
    """Cell of each row: a word, or a quantile bin of the training numbers; 0 for missing."""
    train = values[0]
    if train.dtype.kind != "f":
        codes, _ = pd.factorize(pd.concat(values, ignore_index=True))
        return np.split(codes.astype(np.int64), [len(train)])
    present = train.to_numpy()[~np.isnan(train.to_numpy())]
    bins = max(min(_BINS, len(present) // _ROWS_A_BIN), 1)
    cuts = np.array([])
    if len(present):
        shares = np.arange(1, bins) / bins
        cuts = cell_edges(np.quantile(present, shares, method="inverted_cdf"))
    return [
        np.where(side.isna(), 0, 1 + np.searchsorted(cuts, side.to_numpy(), side="right"))
        for side in values
    ]


def _filled(values: pd.Series[Any]) -> Floats:
    """Missing numbers as the middle one: they must neither help nor hide a leak much."""
    numbers = values.to_numpy(dtype=np.float64)
    present = numbers[~np.isnan(numbers)]
    return np.where(np.isnan(numbers), np.median(present) if len(present) else 0.0, numbers)
