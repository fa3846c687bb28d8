"""Fits what the summary of one column does not say: places, bags, target encoding, weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.core.features import (
    Feature,
    Label,
    RowWeight,
    TargetFeature,
)
from pipeline.core.records import LABEL
from pipeline.core.target import places_of
from pipeline.preprocess.config import (
    ColumnConfig,
    LatitudeConfig,
    ListConfig,
    LongitudeConfig,
    TargetConfig,
    TextConfig,
    WeightConfig,
)
from pipeline.preprocess.config_together import only
from pipeline.preprocess.fit_bags import fit_bag
from pipeline.preprocess.fit_columns import fit_column
from pipeline.preprocess.fit_places import fit_place
from pipeline.preprocess.summary_counts import most_frequent
from pipeline.preprocess.summary_words import Words
from pipeline.preprocess.target_means import label_outputs, smoothed, target_scales, word_sums
from pipeline.preprocess.training_rows import Rows

Floats = NDArray[np.float64]


def fit_any(train: Rows, name: str, how: ColumnConfig, label: Label) -> Iterator[Feature]:
    """Fits the features of the raw column `name`, with what else they need.

    Args:
        train: The training rows.
        name: The column.
        how: What it is.
        label: The task and its classes.

    Raises:
        DataError: The column has no value in training, or values too large to work with.
    """
    match how:
        case LatitudeConfig():
            yield from fit_place(train, name, how)
        case LongitudeConfig():
            return  # its latitude makes the features
        case TargetConfig():
            yield fit_target(train, name, how, label)
        case TextConfig() | ListConfig():
            yield fit_bag(train, name, how)
        case _:
            yield from fit_column(name, train[name], how)


def fit_target(train: Rows, name: str, how: TargetConfig, label: Label) -> TargetFeature:
    """The smoothed mean label of each known word, over all training rows.

    Raises:
        DataError: No word occurs often enough to be known.
    """
    vocabulary = _frequent(train[name], how)
    if not vocabulary:
        raise DataError(
            f"no word of column '{name}' occurs in {how.min_count} training rows",
            expected="words that repeat",
            remedy=f"lower data.columns.{name}.min_count, or leave the column out",
        )
    rows, sums = _sums_of_words(train, name, vocabulary, label)
    prior = sums.sum(axis=0) / rows.sum()
    means = smoothed(rows, sums, prior, how.smoothing)
    centers, scales = target_scales(means, rows)
    return TargetFeature(
        name=name,
        column=name,
        outputs=label.classes if label.task == "multiclass" else (),
        vocabulary=vocabulary,
        values=tuple(map(tuple, ((means[:-1] - centers) / scales).tolist())),
        unknown=tuple(((prior - centers) / scales).tolist()),
        smoothing=how.smoothing,
        folds=how.folds,
        prior=tuple(prior.tolist()),
        centers=tuple(centers.tolist()),
        scales=tuple(scales.tolist()),
    )


def _frequent(seen: Words, how: TargetConfig) -> tuple[str, ...]:
    """The words that are known, the most frequent first; '' where rows miss the word."""
    counts = seen.counts
    if seen.missing:
        counts = pd.concat([pd.Series({"": seen.missing}), counts])
    return tuple(most_frequent(counts, how.min_count, how.max_size).index.tolist())


def _sums_of_words(
    train: Rows, name: str, vocabulary: tuple[str, ...], label: Label
) -> tuple[Floats, Floats]:
    """Rows of each word `[words + 1]` and sums of labels `[words + 1, columns]`."""
    rows = sums = np.zeros(1)
    for block in train.blocks([name, LABEL]):
        outputs = label_outputs(block[LABEL].to_numpy(), label)
        places = places_of(block[name], vocabulary)
        more_rows, more_sums = word_sums(places, outputs, len(vocabulary) + 1)
        rows, sums = rows + more_rows, sums + more_sums
    return rows, sums


def fit_weight(train: Rows, columns: Mapping[str, ColumnConfig]) -> RowWeight | None:
    """The column of weights and its mean; None where there is no such column.

    Raises:
        DataError: Every training row weighs nothing.
    """
    name = only(WeightConfig, columns)
    if name is None:
        return None
    rows, total = 0, 0.0
    for block in train.blocks([name]):
        weights = block[name].to_numpy(dtype=np.float64)
        with np.errstate(over="ignore"):  # told of below
            rows, total = rows + len(weights), total + float(weights.sum())
    if not math.isfinite(total):
        raise DataError(
            f"the weights in '{name}' are so large that their sum overflows",
            expected="weights whose sum is a number",
            remedy="divide them by a constant; only their ratios count",
        )
    if not total > 0:
        raise DataError(
            f"every training row has the weight 0 ('{name}')",
            expected="rows that count",
            remedy=f"repair the source, or remove '{name}' from data.columns",
        )
    return RowWeight(column=name, mean=total / rows)
