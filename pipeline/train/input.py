"""The training input: an endless stream of batches, gathered in blocks.

Which rows the n-th batch holds depends on the seed and n alone: whole permutations of the rows
follow each other, cut into batches of one size, so that a batch may end one permutation and begin
the next. Every row is seen equally often, shapes are static, a resumed run can start anywhere, and
any number of workers sees the same batches: each gathers its share of the rows of every one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import tensorflow as tf

from pipeline.train.examples import Examples

_PREFETCHED_BATCHES = 8

Gather = Callable[[Any], tuple[Any, ...]]
"""From row numbers, int32 `[n]`, or what `Draw` made of them, to a batch: `(inputs, labels)` or
`(inputs, labels, weights)`."""
Draw = Callable[[tf.Tensor, int, tf.Tensor], Any]
"""From row numbers, seed and the batch's number to tensors with an entry for each row."""


class Source(Protocol):
    """Rows that can be shuffled and gathered."""

    @property
    def draw(self) -> Draw | None:
        """What is drawn for a batch beside its rows; None for nothing."""

    def __len__(self) -> int:
        """Number of rows."""

    def permutation(self, seed: int, epoch: tf.Tensor, count: int | None = None) -> tf.Tensor:
        """All row numbers, int32, in the order of that epoch; with `count` those below it."""

    def gather(self) -> Gather:
        """What makes batches of row numbers."""


class InMemory:
    """Arrays in memory, shuffled over all rows.

    Args:
        examples: The arrays.
    """

    draw = None

    def __init__(self, examples: Examples) -> None:
        self.examples = examples

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.examples)

    def permutation(self, seed: int, epoch: tf.Tensor, count: int | None = None) -> tf.Tensor:
        """A permutation of all rows, each as likely as any other."""
        rows = tf.range(len(self) if count is None else count)
        return tf.random.experimental.stateless_shuffle(rows, tf.stack([seed, epoch]))

    def gather(self) -> Gather:
        """Picks from constants of the graph."""
        arrays = tf.nest.map_structure(tf.constant, self.examples.arrays())

        def gather(picked: tf.Tensor) -> tuple[Any, ...]:
            batch: tuple[Any, ...] = tf.nest.map_structure(
                lambda array: tf.gather(array, picked), arrays
            )
            return batch

        return gather


@dataclass(frozen=True)
class Share:
    """Some neighbouring replicas of a team.

    Attributes:
        first: Number of the first one, from 0.
        replicas: How many they are.
        team: How many the team has.
    """

    first: int
    replicas: int
    team: int

    def of(self, rows: tf.Tensor) -> tf.Tensor:
        """`[batch_rows, ...]` to `[replicas, batch_rows / team, ...]`."""
        cut = tf.reshape(rows, [self.team, -1, *rows.shape[1:]])
        return cut[self.first : self.first + self.replicas]

    def only(self, rows: tf.Tensor) -> tf.Tensor:
        """`[batch_rows, ...]` to `[batch_rows / team, ...]`, for a share of one replica."""
        return self.of(rows)[0]


WHOLE = Share(first=0, replicas=1, team=1)
"""The only replica there is."""


def endless(
    source: Source,
    batch_rows: int,
    seed: int,
    *,
    first_batch: int = 0,
    deterministic: bool = True,
    share: Share = WHOLE,
) -> tf.data.Dataset:
    """Shuffled batches without end.

    Rows are gathered a batch at a time: an element per row would cost more than a small model.

    Args:
        source: The rows, at least one.
        batch_rows: Rows of a batch, over all replicas; a multiple of their number.
        seed: Decides the order.
        first_batch: Batch to begin with, from 0; those before it cost nothing.
        deterministic: Whether batches must come in that order.
        share: Whose rows of each batch are gathered; the others' are never touched.

    Returns:
        `(inputs, labels)`, or `(inputs, labels, weights)` where the rows have weights: of each
        batch one element for each replica of the share, in turn.
    """
    first_epoch, passed = divmod(first_batch * batch_rows, len(source))

    def order(epoch: tf.Tensor) -> tf.Tensor:
        rows = source.permutation(seed, epoch)
        return rows[tf.where(epoch == first_epoch, passed, 0) :]

    options = tf.data.Options()
    options.deterministic = deterministic
    picked = tf.data.Dataset.range(first_epoch, tf.int64.max).map(order)
    picked = picked.rebatch(batch_rows, drop_remainder=True)
    if (draw := source.draw) is not None:
        picked = picked.enumerate(first_batch).map(lambda batch, rows: draw(rows, seed, batch))
    gather = source.gather()
    if share.replicas == 1:  # a step less, which a small model feels
        batches = picked.map(lambda drawn: gather(tf.nest.map_structure(share.only, drawn)))
    else:
        picked = picked.map(lambda drawn: tf.nest.map_structure(share.of, drawn))
        batches = picked.unbatch().map(gather)
    return batches.prefetch(_PREFETCHED_BATCHES).with_options(options)
