"""Places on the globe in the TensorFlow graph; `core.geo` is their reference."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from pipeline.core.feature_kinds import DENSE_LIMIT
from pipeline.core.feature_kinds_geo import EARTH_RADIUS_KM, GeoCellFeature, GeoFeature

Raw = Mapping[str, tf.Tensor]

_DEGREE = np.pi / 180


def place(raw: Raw, feature: GeoFeature) -> tf.Tensor:
    """The dense columns of a place, float32 `[len(dense_names), rows]`."""
    latitude, longitude, known = _read(raw, feature)
    p, q = latitude * _DEGREE, longitude * _DEGREE
    columns = tf.stack([tf.cos(p) * tf.cos(q), tf.cos(p) * tf.sin(q), tf.sin(p)])
    points = feature.distances
    if points:
        columns = tf.concat([columns, _kilometres(p, q, feature)], axis=0)
    centers = np.array([*feature.centers, *(one.center for one in points)])[:, None]
    scales = np.array([*feature.scales, *(one.scale for one in points)])[:, None]
    dense = tf.clip_by_value((columns - centers) / scales, -DENSE_LIMIT, DENSE_LIMIT)
    dense = tf.cast(tf.where(known, dense, 0.0), tf.float32)
    if not feature.indicator:
        return dense
    return tf.concat([dense, tf.cast(~known, tf.float32)[None]], axis=0)


def _kilometres(p: tf.Tensor, q: tf.Tensor, feature: GeoFeature) -> tf.Tensor:
    """Distances to all points at once, `[points, rows]`."""
    p0 = np.radians([[one.latitude] for one in feature.distances])
    q0 = np.radians([[one.longitude] for one in feature.distances])
    half = tf.sin((p - p0) / 2) ** 2 + tf.cos(p) * np.cos(p0) * tf.sin((q - q0) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * tf.asin(tf.minimum(tf.sqrt(half), np.float64(1.0)))


def cell_index(raw: Raw, feature: GeoCellFeature) -> tf.Tensor:
    """The index of a place's cell, int64 `[rows]`."""
    latitude, longitude, known = _read(raw, feature)
    row = tf.floor((latitude + 90) / feature.degrees)
    column = tf.floor((longitude + 180) / feature.degrees)
    numbers = tf.cast(row, tf.int64) * feature.columns + tf.cast(column, tf.int64)
    cells = np.array(feature.cells, np.int64)
    at = tf.minimum(tf.searchsorted(cells, numbers, out_type=tf.int64), len(cells) - 1)
    index = tf.where(tf.gather(cells, at) == numbers, 1 + at, 1 + len(cells))
    return tf.where(known, index, 0)


def _read(raw: Raw, feature: GeoFeature | GeoCellFeature) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Degrees with 0 for missing, and where they are not."""
    latitude, longitude = raw[feature.latitude], raw[feature.longitude]
    known = (tf.abs(latitude) <= 90) & (tf.abs(longitude) <= 180)
    zero = np.float64(0.0)
    return tf.where(known, latitude, zero), tf.where(known, longitude, zero), known
