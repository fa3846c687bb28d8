"""Training rows repeated or left out, so that rare classes are seen more often."""

from __future__ import annotations

from typing import Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.train.input import Gather, Source


class Resampled:
    """A source of which each epoch shows as many rows of each class as wanted.

    Args:
        source: All training rows.
        classes: Class index of each row, `[rows]`.
        how: over: rows of rare classes are repeated; under: rows of common ones are left out,
            others in each epoch.
        ratio: Rows of the rarest class for each row of the commonest, above 0 to 1.
    """

    draw = None

    def __init__(
        self,
        source: Source,
        classes: NDArray[np.int64],
        how: Literal["over", "under"],
        ratio: float,
    ) -> None:
        self._source = source
        by_class = (np.flatnonzero(classes == one) for one in np.unique(classes))
        self._rows = [rows.astype(np.int32) for rows in by_class]
        self._wanted = _wanted([len(rows) for rows in self._rows], how, ratio)

    def __len__(self) -> int:
        """Rows of an epoch."""
        return sum(self._wanted)

    def permutation(self, seed: int, epoch: tf.Tensor, count: int | None = None) -> tf.Tensor:
        """The row numbers of that epoch, in the source's kind of order."""
        chosen: tf.Tensor = tf.numpy_function(self._chosen, [seed, epoch], tf.int32)
        chosen.set_shape([len(self)])
        return tf.gather(chosen, self._source.permutation(seed, epoch, count or len(self)))

    def _chosen(self, seed: int, epoch: int) -> NDArray[np.int32]:
        """Ascending, so that the source's order keeps neighbours together."""
        rng = np.random.default_rng([int(seed), int(epoch), 1])
        parts = []
        for rows, wanted in zip(self._rows, self._wanted, strict=True):
            whole, rest = divmod(wanted, len(rows))
            parts += [np.tile(rows, whole), rng.choice(rows, rest, replace=False)]
        return np.sort(np.concatenate(parts))

    def gather(self) -> Gather:
        """Makes batches of the source's rows."""
        return self._source.gather()


def _wanted(counts: list[int], how: Literal["over", "under"], ratio: float) -> list[int]:
    if how == "over":
        least = round(ratio * max(counts))
        return [max(count, least) for count in counts]
    most = round(min(counts) / ratio)
    return [min(count, most) for count in counts]
