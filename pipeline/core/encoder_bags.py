"""Bags of words in the TensorFlow graph; `core.bags` is their reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.core.bags import NO_WORD_PATTERN
from pipeline.core.feature_kinds import BagFeature


def bag_table(feature: BagFeature) -> tf.lookup.StaticHashTable:
    """Place of each known word; -1 for the others."""
    # A table cannot be empty; no word is ever empty.
    words = tf.constant([*feature.vocabulary, ""])
    places = tf.constant([*range(len(feature.vocabulary)), -1], tf.int64)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(words, places), -1)


def bag(texts: tf.Tensor, feature: BagFeature, table: Any) -> tf.Tensor:
    """The dense columns of a bag, float32 `[feature.width, rows]`."""
    cut = _tokens(texts, feature.separator)
    words, rows = cut.values, cut.value_rowids()
    places = table.lookup(words)
    if feature.hash_buckets:
        buckets = tf.strings.to_hash_bucket_fast(words, feature.hash_buckets)
        unknown = (places < 0) & (words != "")
        places = tf.where(unknown, len(feature.vocabulary) + buckets, places)
    count = tf.shape(texts, out_type=tf.int64)[0]
    # What has a negative place is not counted.
    cells = tf.where(places < 0, places, places * count + rows)
    ones = tf.ones_like(cells, tf.float64)
    flat = tf.math.unsorted_segment_sum(ones, cells, feature.width * count)
    return tf.cast(_weighted(tf.reshape(flat, [feature.width, -1]), feature), tf.float32)


def _tokens(texts: tf.Tensor, separator: str | None) -> tf.RaggedTensor:
    if separator is None:
        lower = tf.strings.lower(texts, encoding="")  # ASCII letters only
        return tf.strings.split(tf.strings.regex_replace(lower, NO_WORD_PATTERN, " "))
    entries = tf.strings.split(texts, separator)
    return entries.with_values(tf.strings.strip(entries.values))


def _weighted(counts: tf.Tensor, feature: BagFeature) -> tf.Tensor:
    match feature.weighting:
        case "binary":
            return tf.minimum(counts, tf.constant(1.0, tf.float64))
        case "tf_idf":
            weighed = counts * np.array(feature.idf)[:, None]
            norm = tf.sqrt(tf.reduce_sum(weighed * weighed, axis=0))
            return tf.math.divide_no_nan(weighed, norm)
    return counts
