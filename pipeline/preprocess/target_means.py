"""Mean labels of words, over all training rows and over those of the other folds.

A word that stands in few rows would tell a training row its own label; what a model learns of such
a feature does not hold for any other row. So the rows are cut into folds by a hash, and each gets
the means of the other folds' rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pyarrow import parquet

from pipeline.core.features import FeatureSet, Label, TargetFeature
from pipeline.core.records import LABEL
from pipeline.core.target import OUT_OF_FOLD, word_places
from pipeline.preprocess.on_disk import Rows, TrainingRows
from pipeline.preprocess.row_hash import Hashes, mixed, together

Floats = NDArray[np.float64]
Extra = Mapping[str, NDArray[np.float32]]
"""Columns of the training split that no served row has, float32 `[rows]` each, by name."""

_FOLD_KEY = np.uint64(0x7461726765742131)
"""The folds are to have nothing to do with the hashes of the split."""


def label_outputs(labels: NDArray[Any], label: Label) -> Floats:
    """What is averaged, `[rows, columns]`: 1 or 0 (for each of several classes), or the value."""
    if label.task != "multiclass":
        return labels.astype(np.float64).reshape(-1, 1)
    hit: NDArray[np.bool_] = labels[:, None] == np.arange(len(label.classes))
    return hit.astype(np.float64)


def word_sums(
    words: pd.Series[Any], vocabulary: tuple[str, ...], outputs: Floats
) -> tuple[Floats, Floats]:
    """Rows of each word `[words + 1]` and sums `[words + 1, columns]`; the last of all others."""
    places = {word: place for place, word in enumerate(vocabulary)}
    codes, known = pd.factorize(words)
    found = np.array([places.get(word, len(places)) for word in known.tolist()], np.int64)[codes]
    return _sums(found, outputs, len(places) + 1)


def _sums(places: NDArray[np.int64], outputs: Floats, size: int) -> tuple[Floats, Floats]:
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


def out_of_fold(train: Rows, features: FeatureSet) -> Extra:
    """The dense columns of target encoding for training rows, by `OUT_OF_FOLD` and their name.

    Args:
        train: Training rows in served dtypes, with `records.LABEL`, and the group where there
            is one: all rows of a group are in one fold.
        features: Fitted on these rows.

    Returns:
        float32 `[rows]` each; empty where no column is of kind target.
    """
    made: dict[str, NDArray[np.float32]] = {}
    hashes: Hashes | None = None
    for feature in features.features:
        if not isinstance(feature, TargetFeature):
            continue
        if hashes is None:
            hashes = _row_hashes(train, features.group)
        places = word_places(train[feature.column], feature)
        outputs = label_outputs(train[LABEL].to_numpy(), features.label)
        dense = _of_other_folds(places, outputs, hashes % np.uint64(feature.folds), feature)
        names = feature.dense_names
        made |= {OUT_OF_FOLD + name: dense[:, at] for at, name in enumerate(names)}
    return made


def _of_other_folds(
    places: NDArray[np.int64], outputs: Floats, folds: NDArray[np.uint64], feature: TargetFeature
) -> NDArray[np.float32]:
    size = len(feature.vocabulary) + 1
    rows, sums = _sums(places, outputs, size)
    prior = np.array(feature.prior)
    dense = np.empty(outputs.shape, np.float32)
    for fold in range(feature.folds):
        mine = folds == fold
        my_rows, my_sums = _sums(places[mine], outputs[mine], size)
        means = smoothed(rows - my_rows, sums - my_sums, prior, feature.smoothing)
        means[-1] = prior
        scaled = (means - np.array(feature.centers)) / np.array(feature.scales)
        dense[mine] = scaled[places[mine]]
    return dense


def _row_hashes(train: Rows, group: str | None) -> Hashes:
    """A number for each row, equal for equal rows and for rows of one group."""
    found = [together(frame[sorted(map(str, frame))], group) for frame in _frames(train)]
    return mixed(np.concatenate(found) ^ _FOLD_KEY)


def _frames(train: Rows) -> Iterator[pd.DataFrame]:
    """The columns, without the label, which is no business of the folds."""
    if isinstance(train, pd.DataFrame):
        yield train.drop(columns=LABEL)
    elif isinstance(train, TrainingRows):
        with parquet.ParquetFile(train.path) as file:
            for batch in file.iter_batches():
                yield batch.to_pandas().drop(columns=LABEL)
