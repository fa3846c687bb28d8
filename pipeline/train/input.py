"""The training input: an endless stream of batches, gathered in blocks from arrays in memory.

Which rows the n-th batch holds depends on the seed and n alone: whole permutations of the rows
follow each other, cut into batches of one size, so that a batch may end one permutation and begin
the next. Every row is seen equally often, shapes are static, and a resumed run can start anywhere.
"""

from __future__ import annotations

import tensorflow as tf

from pipeline.train.examples import Examples

_PREFETCHED_BATCHES = 8


def endless(
    examples: Examples,
    batch_rows: int,
    seed: int,
    *,
    first_batch: int = 0,
    deterministic: bool = True,
) -> tf.data.Dataset:
    """Shuffled batches without end.

    Rows are gathered a batch at a time: an element per row would cost more than a small model.

    Args:
        examples: The rows, at least one.
        batch_rows: Rows of a batch.
        seed: Decides the order.
        first_batch: Batch to begin with, from 0; those before it cost next to nothing.
        deterministic: Whether batches must come in that order.

    Returns:
        `(inputs, labels)`, or `(inputs, labels, weights)` where the examples have weights.
    """
    rows = len(examples)
    arrays = tf.nest.map_structure(tf.constant, examples.arrays())

    def permutation(epoch: tf.Tensor) -> tf.Tensor:
        order = tf.range(rows)
        return tf.random.experimental.stateless_shuffle(order, tf.stack([seed, epoch]))

    def gather(picked: tf.Tensor) -> tuple[tf.Tensor, ...]:
        batch: tuple[tf.Tensor, ...] = tf.nest.map_structure(
            lambda array: tf.gather(array, picked), arrays
        )
        return batch

    options = tf.data.Options()
    options.deterministic = deterministic
    return (
        tf.data.Dataset.range(tf.int64.max)
        .map(permutation)
        .rebatch(batch_rows, drop_remainder=True)
        .skip(first_batch)
        .map(gather)
        .prefetch(_PREFETCHED_BATCHES)
        .with_options(options)
    )
