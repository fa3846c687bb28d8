"""Applies fitted features in pandas and NumPy: the readable reference for `core.encoder`.

    encoded = encode(frame, features)
    core.predict({"dense": encoded.dense, "indices": encoded.indices})

The two roads agree exactly in `indices`, and in `dense` within a relative 1e-6 (bit for bit
where no logarithm is taken): all arithmetic is float64 and rounded to float32 once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.bags import bag
from pipeline.core.dates import holidays, part_indices
from pipeline.core.features import (
    DATE_PART_PERIODS,
    DENSE_LIMIT,
    BagFeature,
    BooleanFeature,
    CategoricalFeature,
    CrossFeature,
    DatetimeFeature,
    Feature,
    FeatureSet,
    GeoCellFeature,
    GeoFeature,
    HolidayFeature,
    NumericFeature,
    TargetFeature,
)
from pipeline.core.geo import cell_index, place
from pipeline.core.target import OUT_OF_FOLD, target_means
from pipeline.core.words import hashed

FIBONACCI = 0x9E3779B97F4A7C15
"""2**64 divided by the golden ratio, made odd (Knuth, TAOCP volume 3, section 6.4)."""
FIBONACCI_SHIFT = 33
"""Keeps the upper 31 bits of the product, the best mixed ones."""


@dataclass(frozen=True)
class Encoded:
    """The only input a trained core sees.

    Attributes:
        dense: float32 `[rows, len(features.dense_names)]`.
        indices: int32 `[rows, len(features.index_columns)]`.
    """

    dense: NDArray[np.float32]
    indices: NDArray[np.int32]


def encode(frame: pd.DataFrame, features: FeatureSet) -> Encoded:
    """Computes the dense and index columns of `frame`.

    Args:
        frame: Rows in served dtypes (see `table.as_served`).
        features: The fitted features.
    """
    dense: list[NDArray[Any]] = []
    indices: dict[str, NDArray[Any]] = {}
    for feature in features.features:
        dense += _dense_of(frame, feature)
        if isinstance(feature, CrossFeature):
            indices[feature.name] = _crossed(indices, feature, features)
        else:
            indices |= _indices_of(frame, feature)
    return Encoded(
        dense=_columns(dense, len(frame), np.float32),
        indices=_columns(indices.values(), len(frame), np.int32),
    )


def _dense_of(frame: pd.DataFrame, feature: Feature) -> list[NDArray[Any]]:
    """The dense columns of one feature; most kinds of index have none."""
    made: list[NDArray[Any]] = []
    match feature:
        case NumericFeature(boundaries=()):
            made = _scaled(_floats(frame, feature.column), feature)
        case BooleanFeature():
            made = _truth(_floats(frame, feature.column), feature)
        case DatetimeFeature(cyclic=True):
            made = _waves(_parts(frame[feature.column], feature), feature)
        case HolidayFeature():
            made = [_on_holidays(frame[feature.column], feature)]
        case BagFeature():
            made = list(bag(frame[feature.column], feature))
        case GeoFeature():
            made = place(frame, feature)
        case TargetFeature():
            made = list(target_means(frame[feature.column], feature))
    return made


def _indices_of(frame: pd.DataFrame, feature: Feature) -> dict[str, NDArray[Any]]:
    """The index columns of one feature, by name; dense kinds have none."""
    match feature:
        case NumericFeature(boundaries=(_, *_)):
            return {feature.name: _bucket(_floats(frame, feature.column), feature)}
        case CategoricalFeature():
            return {feature.name: _word_index(frame[feature.column], feature)}
        case DatetimeFeature(cyclic=False):
            parts = _parts(frame[feature.column], feature)
            names = (f"{feature.name}.{part}" for part in feature.parts)
            return dict(zip(names, parts.T, strict=True))
        case GeoCellFeature():
            return {feature.name: cell_index(frame, feature)}
    return {}


def encode_training(frame: pd.DataFrame, features: FeatureSet) -> Encoded:
    """As `encode`, for rows of the training split that something is fitted on.

    What the columns of `out_of_fold_columns` say takes the place of target encoding, in which a
    training row would else find its own label.
    """
    encoded = encode(frame, features)
    for name in out_of_fold_columns(features):
        place = features.dense_names.index(name.removeprefix(OUT_OF_FOLD))
        encoded.dense[:, place] = frame[name]
    return encoded


def out_of_fold_columns(features: FeatureSet) -> tuple[str, ...]:
    """The further columns of the processed training split, float32; none without `target`."""
    kinds = (one for one in features.features if isinstance(one, TargetFeature))
    return tuple(OUT_OF_FOLD + name for one in kinds for name in one.dense_names)


def _columns(columns: Iterable[NDArray[Any]], rows: int, dtype: type) -> NDArray[Any]:
    listed = list(columns)
    # Filled by column and turned at the end: writing to strided columns is several times slower.
    table: NDArray[Any] = np.empty((len(listed), rows), dtype)
    for target, column in zip(table, listed, strict=True):
        target[:] = column
    return np.ascontiguousarray(table.T)


def _floats(frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    return frame[column].to_numpy(dtype=np.float64)


def possible(x: NDArray[np.float64], least: float | None, most: float | None) -> NDArray[np.bool_]:
    """Where `x` is a number from `least` to `most`, both inclusive; None leaves a side open."""
    found = np.isfinite(x)
    if least is not None:
        found &= x >= least
    if most is not None:
        found &= x <= most
    return found


def _scaled(x: NDArray[np.float64], feature: NumericFeature) -> list[NDArray[Any]]:
    missing = ~possible(x, feature.least, feature.most)
    y = np.where(missing, 0.0, x)
    if feature.low is not None or feature.high is not None:
        y = np.clip(y, feature.low, feature.high)
    if feature.log:
        y = np.sign(y) * np.log1p(np.abs(y))
    y = np.where(missing, feature.impute, y)
    with np.errstate(over="ignore"):
        z = (y - feature.center) / feature.scale
    scaled = np.clip(z, -DENSE_LIMIT, DENSE_LIMIT)
    return [scaled, missing] if feature.indicator else [scaled]


def _bucket(x: NDArray[np.float64], feature: NumericFeature) -> NDArray[np.int64]:
    bucket = np.searchsorted(feature.boundaries, x, side="right")
    return np.where(possible(x, feature.least, feature.most), 1 + bucket, 0)


def _truth(x: NDArray[np.float64], feature: BooleanFeature) -> list[NDArray[Any]]:
    missing = np.isnan(x)
    truth = (x != 0) & ~missing
    return [truth, missing] if feature.indicator else [truth]


def _word_index(words: pd.Series[Any], feature: CategoricalFeature) -> NDArray[np.int64]:
    codes, known = pd.factorize(words)
    known_index = {word: 1 + i for i, word in enumerate(feature.vocabulary)} | {"": 0}
    first_oov = 1 + len(feature.vocabulary)
    indices = [
        known_index[word]
        if word in known_index
        else first_oov + hashed(word.encode(), feature.oov_buckets)
        for word in known.tolist()
    ]
    return np.array(indices, dtype=np.int64)[codes]


def _parts(words: pd.Series[Any], feature: DatetimeFeature) -> NDArray[np.int64]:
    codes, known = pd.factorize(words)
    return part_indices(known.tolist(), feature.parts)[codes]


def _on_holidays(words: pd.Series[Any], feature: HolidayFeature) -> NDArray[np.bool_]:
    codes, known = pd.factorize(words)
    return holidays(known.tolist(), feature.dates)[codes]


def wave_table(feature: DatetimeFeature) -> list[NDArray[np.float32]]:
    """For each part float32 `[1 + period, 2]`: sin and cos by part index, zeros for missing.

    Both roads look values up here, so that they are equal to the last bit.
    """
    tables = []
    for part in feature.parts:
        period = DATE_PART_PERIODS[part][1]
        angle = 2 * np.pi * np.arange(period) / period
        waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        tables.append(np.concatenate([np.zeros((1, 2)), waves]).astype(np.float32))
    return tables


def _waves(parts: NDArray[np.int64], feature: DatetimeFeature) -> list[NDArray[Any]]:
    tables = wave_table(feature)
    return [column for table, part in zip(tables, parts.T, strict=True) for column in table[part].T]


def _crossed(
    indices: dict[str, NDArray[Any]], feature: CrossFeature, features: FeatureSet
) -> NDArray[np.int64]:
    sizes = {column.name: column.cardinality for column in features.index_columns}
    product = 1
    code = np.zeros(len(indices[feature.of[0]]), dtype=np.uint64)
    for name in feature.of:
        product *= sizes[name]
        code = code * np.uint64(sizes[name]) + indices[name].astype(np.uint64)
    if product > feature.buckets:
        code = (code * np.uint64(FIBONACCI)) >> np.uint64(FIBONACCI_SHIFT)
        code %= np.uint64(feature.buckets)
    return code.astype(np.int64)
