"""Mean labels of words, over all training rows and over those of the other folds.

A word that stands in few rows would tell a training row its own label; what a model learns of such
a feature does not hold for any other row. So the rows are cut into folds by a hash, and each gets
the means of the other folds' rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.features import FeatureSet, Label, TargetFeature
from pipeline.core.records import LABEL
from pipeline.core.target import OUT_OF_FOLD, word_places
from pipeline.preprocess.row_hash import Hashes, mixed, together
from pipeline.preprocess.training_rows import Rows

Floats = NDArray[np.float64]
_FOLD_KEY = np.uint64(0x7461726765742131)
"""The folds are to have nothing to do with the hashes of the split."""


def label_outputs(labels: NDArray[Any], label: Label) -> Floats:
    """What is averaged, `[rows, columns]`: 1 or 0 (for each of several classes), or the value."""
    if label.task != "multiclass":
        return labels.astype(np.float64).reshape(-1, 1)
    hit: NDArray[np.bool_] = labels[:, None] == np.arange(len(label.classes))
    return hit.astype(np.float64)


def word_sums(places: NDArray[np.int64], outputs: Floats, size: int) -> tuple[Floats, Floats]:
    """Rows of each word `[size]` and sums `[size, columns]`, by the words' places."""
    rows = np.bincount(places, minlength=size).astype(np.float64)
    sums = [np.bincount(places, column, minlength=size) for column in outputs.T]
    return rows, np.stack(sums, axis=1)


def smoothed(rows: Floats, sums: Floats, prior: Floats, smoothing: float) -> Floats:
    """`(sum + smoothing * prior) / (rows + smoothing)`, and the prior where that is 0 / 0."""
    weight = (rows + smoothing)[:, None]
    means: Floats = (sums + smoothing * prior) / np.where(weight > 0, weight, 1.0)
    return np.where(weight > 0, means, prior)


def target_scales(means: Floats, rows: Floats) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column over the training rows; 1 where all are alike."""
    total = rows.sum()
    centers: Floats = (rows[:, None] * means).sum(axis=0) / total
    scales = np.sqrt((rows[:, None] * (means - centers) ** 2).sum(axis=0) / total)
    return centers, np.where(scales > 1e-9 * np.maximum(1.0, np.abs(centers)), scales, 1.0)


@dataclass(frozen=True)
class OutOfFold:
    """The dense columns of target encoding for training rows.

    Attributes:
        group: The column whose equal values are in one fold; None: equal rows alone are.
        tables: Each feature, and its dense values by fold and word, float32
            `[folds, words + 1, columns]`.
    """

    group: str | None
    tables: Sequence[tuple[TargetFeature, NDArray[np.float32]]]

    def __call__(self, rows: pd.DataFrame) -> Mapping[str, NDArray[np.float32]]:
        """The columns of some training rows, by `OUT_OF_FOLD` and their name.

        Args:
            rows: With all columns that the fitting saw.

        Returns:
            float32 `[rows]` each.
        """
        hashes = _row_hashes(rows, self.group)
        made: dict[str, NDArray[np.float32]] = {}
        for feature, table in self.tables:
            places = word_places(rows[feature.column], feature)
            dense = table[_folds(hashes, feature), places]
            names = feature.dense_names
            made |= {OUT_OF_FOLD + name: dense[:, at] for at, name in enumerate(names)}
        return made


def out_of_fold(train: Rows, features: FeatureSet) -> OutOfFold | None:
    """What target encoding says of training rows; None where no column is of that kind.

    Args:
        train: The training rows; those of a group, where there is one, are in one fold.
        features: Fitted on these rows.
    """
    wanted = [one for one in features.features if isinstance(one, TargetFeature)]
    if not wanted:
        return None
    seen = [_Folds(feature) for feature in wanted]
    for block in train.blocks():
        hashes = _row_hashes(block, features.group)
        outputs = label_outputs(block[LABEL].to_numpy(), features.label)
        for one in seen:
            one.add(block, hashes, outputs)
    return OutOfFold(features.group, [(one.feature, one.dense()) for one in seen])


class _Folds:
    """Rows `[folds, words + 1]` and sums of labels `[folds, words + 1, columns]` of a feature."""

    def __init__(self, feature: TargetFeature) -> None:
        self.feature = feature
        shape = (feature.folds, len(feature.vocabulary) + 1)
        self.rows = np.zeros(shape)
        self.sums = np.zeros((*shape, len(feature.prior)))

    def add(self, block: pd.DataFrame, hashes: Hashes, outputs: Floats) -> None:
        """Adds training rows."""
        places = word_places(block[self.feature.column], self.feature)
        cells = _folds(hashes, self.feature) * self.rows.shape[1] + places
        rows, sums = word_sums(cells, outputs, self.rows.size)
        self.rows += rows.reshape(self.rows.shape)
        self.sums += sums.reshape(self.sums.shape)

    def dense(self) -> NDArray[np.float32]:
        """The dense values of each fold's rows, of the means of the other folds."""
        how = self.feature
        prior = np.array(how.prior)
        rows, sums = self.rows.sum(axis=0), self.sums.sum(axis=0)
        dense = np.empty(self.sums.shape, np.float32)
        for fold in range(how.folds):
            means = smoothed(rows - self.rows[fold], sums - self.sums[fold], prior, how.smoothing)
            means[-1] = prior
            dense[fold] = (means - np.array(how.centers)) / np.array(how.scales)
        return dense


def _folds(hashes: Hashes, feature: TargetFeature) -> NDArray[np.int64]:
    return (hashes % np.uint64(feature.folds)).astype(np.int64)


def _row_hashes(rows: pd.DataFrame, group: str | None) -> Hashes:
    """A number for each row, equal for equal rows and for rows of one group."""
    # Without the label, which is no business of the folds.
    names = sorted(name for name in map(str, rows) if name != LABEL)
    return mixed(together(rows[names], group) ^ _FOLD_KEY)
