"""Training rows that are not in the table: noise on numbers, mixtures of two rows.

What a batch gets depends on the seed and its number alone, like its rows: it is drawn for the whole
batch and then shared out with the rows. So a resumed training and any number of workers see the
same.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.features import (
    FeatureSet,
    GeoFeature,
    NumericFeature,
    TargetFeature,
    dense_names,
)
from pipeline.train.agreement import refuse_resampling
from pipeline.train.config import TrainConfig
from pipeline.train.examples import Examples
from pipeline.train.input import Gather, Source
from pipeline.train.resample import Resampled

_BLOCK_ROWS = 65_536
_PARTNERS, _SHARES, _KEPT, _NOISE = range(4)
"""What is drawn; each has random numbers of its own."""


def augmented(
    source: Source, train: Examples, options: TrainConfig, features: FeatureSet
) -> Source:
    """The training rows as `train.augment` wants them; `source` itself where it wants nothing.

    Args:
        source: The training rows.
        train: The same as arrays.
        options: The section `train`.
        features: The fitted features.

    Raises:
        ConfigError: Classes are to be resampled where there are none, or are weighed already.
    """
    wanted, label = options.augment, features.label
    refuse_resampling(options, label.task)
    if wanted.resample != "none":
        classes = train.labels.reshape(-1).astype(np.int64)
        source = Resampled(source, classes, wanted.resample, wanted.ratio)
    if not wanted.noise and not wanted.mixup:
        return source
    noise = wanted.noise * deviations(train, features) if wanted.noise else None
    classes_mixed = len(label.classes) if label.task == "multiclass" else 0
    return Augmented(source, train, mixup=wanted.mixup, noise=noise, classes=classes_mixed)


def deviations(train: Examples, features: FeatureSet) -> NDArray[np.float64]:
    """Standard deviation over the training rows of each dense column that is a number, `[D]`.

    0 for indicators, truth values, points on a circle and words: they have no values between.
    """
    dense = train.encoded.dense
    blocks = [dense[i : i + _BLOCK_ROWS] for i in range(0, len(dense), _BLOCK_ROWS)]
    mean = sum(block.sum(axis=0, dtype=np.float64) for block in blocks) / len(dense)
    squares = sum(np.square(block - mean).sum(axis=0) for block in blocks)
    numbers = {
        name
        for feature in features.features
        if isinstance(feature, NumericFeature | GeoFeature | TargetFeature)
        for name in dense_names(feature)
        if name != f"{feature.name}.missing"
    }
    is_number = np.array([name in numbers for name in features.dense_names], np.bool_)
    found: NDArray[np.float64] = np.sqrt(squares / len(dense))
    return np.where(is_number, found, 0.0)


class Augmented:
    """A source whose batches are mixed and noised.

    Args:
        source: The rows.
        train: The same as arrays; for their widths.
        mixup: Alpha of the Beta distribution of a row's share in a mixture; 0 mixes none.
        noise: Standard deviation of the noise on each dense column, `[D]`; None for none.
        classes: Classes that labels are indices of; 0 where labels are numbers to be mixed.
    """

    def __init__(
        self,
        source: Source,
        train: Examples,
        *,
        mixup: float,
        noise: NDArray[np.float64] | None,
        classes: int,
    ) -> None:
        self._source = source
        self._mixup = mixup
        self._noise = None if noise is None else noise.astype(np.float32)
        self._classes = classes
        self._index_columns = train.encoded.indices.shape[1]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._source)

    def permutation(self, seed: int, epoch: tf.Tensor, count: int | None = None) -> tf.Tensor:
        """The source's order."""
        return self._source.permutation(seed, epoch, count)

    def draw(self, rows: tf.Tensor, seed: int, batch: tf.Tensor) -> dict[str, tf.Tensor]:
        """What is drawn for a batch, one entry for each of its rows.

        Args:
            rows: Row numbers, int32 `[n]`.
            seed: Of the training.
            batch: The batch's number, int64.
        """
        drawn = {"rows": rows}
        count = rows.shape[0]
        root = tf.stack([tf.constant(seed, tf.int64), batch])
        seeds = [tf.random.fold_in(root, what) for what in range(4)]
        if self._mixup:
            order = tf.random.experimental.stateless_shuffle(tf.range(count), seeds[_PARTNERS])
            # Beta from two gammas (Devroye, "Non-Uniform Random Variate Generation", 1986, IX.3);
            # in float64, where a small alpha does not underflow.
            alpha = tf.constant(self._mixup, tf.float64)
            one, other = tf.unstack(
                tf.random.stateless_gamma([2, count], seeds[_SHARES], alpha, dtype=tf.float64)
            )
            share = tf.cast(tf.math.divide_no_nan(one, one + other), tf.float32)
            chance = tf.random.stateless_uniform([count, self._index_columns], seeds[_KEPT])
            drawn |= {
                "partners": tf.gather(rows, order),
                "share": share,
                "kept": chance < share[:, None],
            }
        if self._noise is not None:
            shape = [count, len(self._noise)]
            drawn["noise"] = self._noise * tf.random.stateless_normal(shape, seeds[_NOISE])
        return drawn

    def gather(self) -> Gather:
        """Gathers rows and partners, and mixes them.

        Mixup is `share * row + (1 - share) * partner` for dense columns, labels and weights
        (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018). An index has no
        values between: each is the row's own with the chance `share`, else the partner's. Labels
        of several classes become shares of the classes, float32 `[n, classes]`.
        """
        gather = self._source.gather()

        def mixed(drawn: dict[str, tf.Tensor]) -> tuple[Any, ...]:
            inputs, labels, *weights = gather(drawn["rows"])
            dense, indices = inputs["dense"], inputs["indices"]
            if self._mixup:
                partners, their_labels, *their_weights = gather(drawn["partners"])
                share = drawn["share"]
                dense = _between(share, dense, partners["dense"])
                indices = tf.where(drawn["kept"], indices, partners["indices"])
                labels = _between(share, self._numbers(labels), self._numbers(their_labels))
                pairs = zip(weights, their_weights, strict=True)
                weights = [_between(share, mine, theirs) for mine, theirs in pairs]
            if self._noise is not None:
                dense += drawn["noise"]
            return ({"dense": dense, "indices": indices}, labels, *weights)

        return mixed

    def _numbers(self, labels: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(labels, self._classes) if self._classes else labels


def _between(share: tf.Tensor, mine: tf.Tensor, theirs: tf.Tensor) -> tf.Tensor:
    share = share if mine.shape.rank == 1 else share[:, None]
    return share * mine + (1 - share) * theirs
