"""Applies fitted features inside the TensorFlow graph; `core.encoding` is its reference.

Only core TensorFlow ops, so that a SavedModel that holds the layer loads in any plain
TensorFlow or TensorFlow Serving. Features of a kind are worked out together, as columns of one
matrix, because with one served row the number of ops is the cost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.encoder_bags import bag, bag_table
from pipeline.core.encoder_dates import holiday_table, holidays, part_indices
from pipeline.core.encoder_geo import cell_index, place
from pipeline.core.encoder_target import target_means, word_table
from pipeline.core.encoding import FIBONACCI, FIBONACCI_SHIFT, wave_table
from pipeline.core.features import (
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
    dense_names,
)
from pipeline.core.schema import build, dump

Raw = Mapping[str, tf.Tensor]
"""Raw columns by name, each `[rows]`: float64, string or bool."""

F = TypeVar("F")


@keras.saving.register_keras_serializable(package="pipeline")
class FeatureEncoder(keras.layers.Layer):  # type: ignore[misc]
    """Raw columns in, `dense` and `indices` out; nothing to train.

    Args:
        features: The fitted features, or their JSON text as the layer's own config holds them.
        **kwargs: Of every Keras layer.
    """

    def __init__(self, features: FeatureSet | str, **kwargs: Any) -> None:
        # autocast would round float64 columns to float32 before any arithmetic.
        super().__init__(**{"dtype": "float32", "autocast": False, "trainable": False, **kwargs})
        if isinstance(features, str):
            features = build(FeatureSet, json.loads(features), "features")
        self.features = features
        self.supports_jit = False
        self._sizes = {column.name: column.cardinality for column in features.index_columns}
        # A tf.Module, because Keras does not show tables in its own lists to a SavedModel.
        self.lookup = tf.Module()
        self.lookup.tables = [_table(f) for f in _of(CategoricalFeature, features)]
        self.lookup.bags = [bag_table(f) for f in _of(BagFeature, features)]
        self.lookup.holidays = [holiday_table(f.dates) for f in _of(HolidayFeature, features)]
        self.lookup.targets = [word_table(f) for f in _of(TargetFeature, features)]
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The layer's config; features as one text, which Keras need not walk word by word."""
        text = json.dumps(dump(self.features), ensure_ascii=False)
        return {**super().get_config(), "features": text}

    def compute_output_spec(self, raw: Mapping[str, Any]) -> dict[str, keras.KerasTensor]:
        """Shapes and dtypes of the outputs, without tracing `call`."""
        rows = next(iter(raw.values())).shape[0]
        return {
            "dense": keras.KerasTensor((rows, len(self.features.dense_names)), "float32"),
            "indices": keras.KerasTensor((rows, len(self._sizes)), "int32"),
        }

    def call(self, raw: Raw) -> dict[str, tf.Tensor]:
        """Encodes a batch.

        Args:
            raw: Every column of `features.columns` by name, each `[rows]`.

        Returns:
            dense: float32 `[rows, len(dense_names)]`; indices: int32 `[rows, len(index_columns)]`.
        """
        rows = tf.shape(raw[self.features.columns[0].name])[0]
        dates = {
            feature.name: part_indices(raw[feature.column], feature.parts)
            for feature in _of(DatetimeFeature, self.features)
        }
        return {"dense": self._dense(raw, dates, rows), "indices": self._indices(raw, dates, rows)}

    def _dense(self, raw: Raw, dates: Raw, rows: tf.Tensor) -> tf.Tensor:
        # One row per feature until the end: constants then broadcast along rows of memory.
        blocks = [tf.zeros([0, rows])]
        names: list[str] = []
        numbers = [f for f in _of(NumericFeature, self.features) if not f.boundaries]
        truths = _of(BooleanFeature, self.features)
        if numbers:
            numbers.sort(key=lambda feature: feature.log)
            blocks += _scaled(raw, numbers)
            names += _names(numbers)
        if truths:
            blocks += _truth(raw, truths)
            names += _names(truths)
        for feature in _of(DatetimeFeature, self.features):
            if feature.cyclic:
                blocks.append(_waves(dates[feature.name], feature))
                names += [f"{feature.name}.{p}.{wave}" for p in feature.parts for wave in _WAVES]
        for made_of, block in self._blocks(raw):
            blocks.append(block)
            names += dense_names(made_of)
        places = {name: place for place, name in enumerate(names)}
        order = np.array([places[name] for name in self.features.dense_names], np.int32)
        return tf.transpose(tf.gather(tf.concat(blocks, axis=0), order))

    def _blocks(self, raw: Raw) -> Iterator[tuple[Feature, tf.Tensor]]:
        """The dense columns of the kinds that are worked out one by one."""
        features, lookup = self.features, self.lookup
        for words, table in zip(_of(BagFeature, features), lookup.bags, strict=True):
            yield words, bag(raw[words.column], words, table)
        for days, table in zip(_of(HolidayFeature, features), lookup.holidays, strict=True):
            yield days, holidays(raw[days.column], table)[None]
        for means, table in zip(_of(TargetFeature, features), lookup.targets, strict=True):
            yield means, target_means(raw[means.column], means, table)
        for geo in _of(GeoFeature, features):
            yield geo, place(raw, geo)

    def _indices(self, raw: Raw, dates: Raw, rows: tf.Tensor) -> tf.Tensor:
        found: dict[str, tf.Tensor] = {}
        tables = iter(self.lookup.tables)
        for feature in self.features.features:
            match feature:
                case NumericFeature(boundaries=[_, *_]):
                    found[feature.name] = _bucket(raw[feature.column], feature)
                case CategoricalFeature():
                    found[feature.name] = _word_index(raw[feature.column], feature, next(tables))
                case DatetimeFeature(cyclic=False):
                    names = [f"{feature.name}.{part}" for part in feature.parts]
                    parts = tf.cast(dates[feature.name], tf.int64)
                    found |= dict(zip(names, tf.unstack(parts, axis=1), strict=True))
                case GeoCellFeature():
                    found[feature.name] = cell_index(raw, feature)
                case CrossFeature():
                    found[feature.name] = _crossed(found, feature, self._sizes)
        if not found:
            return tf.zeros([rows, 0], tf.int32)
        return tf.cast(tf.stack(list(found.values()), axis=1), tf.int32)


_WAVES = ("sin", "cos")


def _of(kind: type[F], features: FeatureSet) -> list[F]:
    return [feature for feature in features.features if isinstance(feature, kind)]


def _names(features: Sequence[NumericFeature | BooleanFeature]) -> list[str]:
    flags = [f"{feature.name}.missing" for feature in features if feature.indicator]
    return [*(feature.name for feature in features), *flags]


def _flags(missing: tf.Tensor, features: Sequence[NumericFeature | BooleanFeature]) -> list[Any]:
    flagged = [i for i, feature in enumerate(features) if feature.indicator]
    return [tf.cast(tf.gather(missing, flagged), tf.float32)] if flagged else []


def _scaled(raw: Raw, features: Sequence[NumericFeature]) -> list[tf.Tensor]:
    """Scaled numbers `[len(features), rows]`, then the indicators; logarithms come last."""
    x = tf.stack([raw[feature.column] for feature in features])
    missing = ~_possible(x, features)
    lows = _constants(-np.inf if feature.low is None else feature.low for feature in features)
    highs = _constants(np.inf if feature.high is None else feature.high for feature in features)
    if np.isfinite([lows, highs]).any():
        x = tf.clip_by_value(x, lows, highs)
    if logs := sum(feature.log for feature in features):
        plain, longtailed = x[:-logs], x[-logs:]
        logarithm = tf.sign(longtailed) * tf.math.log1p(tf.abs(longtailed))
        x = tf.concat([plain, logarithm], axis=0)
    x = tf.where(missing, _constants(feature.impute for feature in features), x)
    centers = _constants(feature.center for feature in features)
    scales = _constants(feature.scale for feature in features)
    z = tf.clip_by_value((x - centers) / scales, -DENSE_LIMIT, DENSE_LIMIT)
    return [tf.cast(z, tf.float32), *_flags(missing, features)]


def _possible(x: tf.Tensor, features: Sequence[NumericFeature]) -> tf.Tensor:
    """Where `x`, `[len(features), rows]`, holds possible numbers."""
    found = tf.math.is_finite(x)
    least = _constants(-np.inf if feature.least is None else feature.least for feature in features)
    most = _constants(np.inf if feature.most is None else feature.most for feature in features)
    if np.isfinite([least, most]).any():
        found &= (x >= least) & (x <= most)
    return found


def _constants(numbers: Iterable[float]) -> NDArray[np.float64]:
    return np.array(list(numbers), np.float64)[:, None]


def _truth(raw: Raw, features: Sequence[BooleanFeature]) -> list[tf.Tensor]:
    """Truth values `[len(features), rows]`, then the indicators."""
    x = tf.stack([tf.cast(raw[feature.column], tf.float64) for feature in features])
    missing = tf.math.is_nan(x)
    return [tf.cast((x != 0) & ~missing, tf.float32), *_flags(missing, features)]


def _waves(parts: tf.Tensor, feature: DatetimeFeature) -> tf.Tensor:
    """Sin and cos of each part, `[2 * len(parts), rows]`, from one table of all parts."""
    tables = wave_table(feature)
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])]).astype(np.int32)
    waves = tf.gather(np.concatenate(tables), parts + starts)
    return tf.transpose(tf.reshape(waves, [-1, 2 * len(tables)]))


def _bucket(x: tf.Tensor, feature: NumericFeature) -> tf.Tensor:
    boundaries = np.array(feature.boundaries)
    bucket = tf.searchsorted(boundaries, x, side="right", out_type=tf.int64)
    return tf.where(_possible(x[None, :], [feature])[0], 1 + bucket, 0)


def _table(feature: CategoricalFeature) -> tf.lookup.StaticHashTable:
    words = tf.constant(["", *feature.vocabulary])
    indices = tf.range(len(words), dtype=tf.int64)
    # One bucket needs no hash: the default is its index. Otherwise -1 asks for the hash.
    unknown = len(words) if feature.oov_buckets == 1 else -1
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, indices), unknown)


def _word_index(words: tf.Tensor, feature: CategoricalFeature, table: Any) -> tf.Tensor:
    index = table.lookup(words)
    if feature.oov_buckets == 1:
        return index
    hashed = tf.strings.to_hash_bucket_fast(words, feature.oov_buckets)
    return tf.where(index < 0, 1 + len(feature.vocabulary) + hashed, index)


def _crossed(found: Raw, feature: CrossFeature, sizes: Mapping[str, int]) -> tf.Tensor:
    product = 1
    code = tf.constant(0, tf.uint64)
    for name in feature.of:
        product *= sizes[name]
        code = code * tf.constant(sizes[name], tf.uint64) + tf.cast(found[name], tf.uint64)
    if product > feature.buckets:
        mixed = code * tf.constant(FIBONACCI, tf.uint64)
        upper = tf.bitwise.right_shift(mixed, tf.constant(FIBONACCI_SHIFT, tf.uint64))
        return tf.cast(upper, tf.int64) % feature.buckets
    return tf.cast(code, tf.int64)
