"""Dropout that draws a byte for each number, for a CPU.

Keras draws 32 random bits for each, which takes a third of the training time of a small network.
"""

from __future__ import annotations

import keras
import tensorflow as tf

_BYTE = 256


def with_bytes(core: keras.Model, *, xla: bool) -> keras.Model:
    """The same layers, weights included, but for each `Dropout` a `ByteDropout`.

    The core itself keeps Keras's, so that a saved model loads without this package.

    Args:
        core: The model.
        xla: Whether XLA will compile it.
    """

    def exchanged(layer: keras.Layer) -> keras.Layer:
        plain = type(layer) is keras.layers.Dropout and layer.noise_shape is None
        if not plain or not 0 < layer.rate <= 1 - 1 / _BYTE:
            return layer
        made = ByteDropout.from_config(layer.get_config())
        made.algorithm = "threefry" if xla else "philox"
        return made

    return keras.models.clone_model(core, clone_function=exchanged)


class ByteDropout(keras.layers.Dropout):  # type: ignore[misc]
    """Sets numbers to 0 with a probability of `rate` and divides the others by `1 - rate`.

    A byte below a limit drops its number. The limit, `256 * rate`, is seldom whole: each call
    rounds it up or down by one more byte, so that `rate` holds over all calls to 1/65536, and
    within one call to 1/256.

    Attributes:
        algorithm: Of the random numbers, in TensorFlow's words. Philox is the one it has without
            XLA; compiled by XLA for a CPU it takes longer than all the rest of a small network.
    """

    algorithm = "philox"

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: FBT001, FBT002
        """`inputs` as they are unless `training`; float, of any shape."""
        if not training:
            return inputs
        seed = self.seed_generator.next()
        count = tf.size(inputs)
        words = tf.random.stateless_uniform(
            [count // 4 + 1], seed, None, None, tf.uint32, alg=self.algorithm
        )
        drawn = tf.reshape(tf.bitcast(words, tf.uint8), [-1])
        rounding = tf.cast(drawn[-1], tf.float32) / _BYTE
        limit = tf.cast(tf.floor(_BYTE * self.rate + rounding), tf.uint8)
        keep = tf.reshape(drawn[:count], tf.shape(inputs)) >= limit
        return inputs * (tf.cast(keep, inputs.dtype) / (1.0 - self.rate))
