"""Target encoding in the TensorFlow graph; `core.target` is its reference."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from pipeline.core.feature_kinds_label import TargetFeature
from pipeline.core.target import target_table


def word_table(feature: TargetFeature) -> tf.lookup.StaticHashTable:
    """The row of `target_table` of each word."""
    words = tf.constant(list(feature.vocabulary))
    places = tf.range(len(words), dtype=tf.int64)
    initializer = tf.lookup.KeyValueTensorInitializer(words, places)
    return tf.lookup.StaticHashTable(initializer, len(words))


def target_means(words: tf.Tensor, feature: TargetFeature, table: Any) -> tf.Tensor:
    """The dense columns of words, `[columns, rows]`."""
    return tf.transpose(tf.gather(target_table(feature), table.lookup(words)))
