"""A split as arrays in memory: encoded once, before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.encoding import Encoded, encode, encode_training, out_of_fold_columns
from pipeline.core.errors import DataError
from pipeline.core.features import FeatureSet, Label
from pipeline.core.records import LABEL, Split
from pipeline.train.agreement import refuse_class_weights

_REMEDY = "remove data/processed and run `pipeline run`"


@dataclass(frozen=True)
class Examples:
    """Rows ready for the core.

    Attributes:
        encoded: What the core sees.
        labels: float32 `[rows, 1]` of 0 and 1 (binary) or standardised values (regression), or
            int32 `[rows]` class indices (multiclass).
        weights: float32 `[rows]` of the loss, or None where every row weighs the same: the rows'
            own (see `row_weights`), times those of the classes in a split that is trained on.
    """

    encoded: Encoded
    labels: NDArray[Any]
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.labels)

    @property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """The core's input."""
        return {"dense": self.encoded.dense, "indices": self.encoded.indices}

    def arrays(self) -> tuple[Any, ...]:
        """What `keras.Model.fit` calls x, y and, where there are weights, sample_weight."""
        return (self.inputs, self.labels, *([] if self.weights is None else [self.weights]))


def examples(frame: pd.DataFrame, features: FeatureSet, split: Split) -> Examples:
    """Encodes a processed split.

    In pandas and NumPy rather than in the encoder's graph, which gives the same numbers: half a
    second for 300,000 rows, and nothing to trace.

    Args:
        frame: Rows of `data/processed`, with the column `records.LABEL`.
        features: The fitted features.
        split: Which split it is, for messages.

    Raises:
        DataError: There are no rows, a column is missing, or a label is impossible.
    """
    wanted = [LABEL, *(column.name for column in features.columns)]
    if features.weight:
        wanted.append(features.weight.column)
    if split == "train":
        wanted += out_of_fold_columns(features)
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise DataError(
            f"data/processed/{split}.parquet lacks {', '.join(missing)}",
            expected="every column of features.json, and the label",
            remedy=_REMEDY,
        )
    if frame.empty:
        raise DataError(
            f"the {split} split has no rows",
            expected="rows to train on and rows to validate on",
            remedy="change data.split so that every split gets rows",
        )
    encoded = encode_training(frame, features) if split == "train" else encode(frame, features)
    targets = _targets(frame[LABEL].to_numpy(), features.label, split)
    return Examples(encoded, targets, row_weights(frame, features))


def row_weights(frame: pd.DataFrame, features: FeatureSet) -> NDArray[np.float32] | None:
    """The rows' own weights, of mean 1 over the training split; None where all count alike."""
    if features.weight is None:
        return None
    weights = frame[features.weight.column].to_numpy(dtype=np.float64) / features.weight.mean
    return weights.astype(np.float32)


def _targets(values: NDArray[Any], label: Label, split: Split) -> NDArray[Any]:
    if label.task == "regression":
        valid = np.isfinite(values)
        expected = "numbers"
    else:
        valid = np.isin(values, np.arange(len(label.classes)))
        expected = f"class indices from 0 to {len(label.classes) - 1}"
    if not valid.all():
        raise DataError(
            f"{np.count_nonzero(~valid)} labels of data/processed/{split}.parquet are impossible,"
            f" the first is {values[~valid][0]!r}",
            expected=expected,
            remedy=_REMEDY,
        )
    if label.task == "multiclass":
        return values.astype(np.int32)
    standard = (values - label.mean) / label.scale if label.task == "regression" else values
    return standard.astype(np.float32).reshape(-1, 1)


def require_classes(train: Examples, label: Label) -> None:
    """Refuses a training split in which there is nothing to tell apart.

    Raises:
        DataError: All labels are of one class.
    """
    if label.task == "regression":
        return
    present = np.unique(train.labels).astype(int)
    if len(present) < 2:
        raise DataError(
            f"all {len(train):,} training rows are of the class '{label.classes[present[0]]}'",
            expected="rows of at least two classes",
            remedy="change data.label or data.split so that both classes are seen in training",
        )


def class_weights(
    choice: str | Mapping[str, float], labels: NDArray[Any], label: Label
) -> NDArray[np.float32] | None:
    """Weight of each row in the loss.

    `balanced` is `rows / (classes * rows of the class)` over the classes that have rows, so that
    every class weighs the same and the mean weight is 1 (G. King, L. Zeng, Logistic Regression in
    Rare Events Data, 2001).

    Args:
        choice: `train.class_weights`: none, balanced, or the weight of each class by name.
        labels: As in `Examples`.
        label: The task and its classes.

    Returns:
        float32 `[rows]`, or None for `none`.

    Raises:
        ConfigError: The task has no classes, or the names are not its classes.
    """
    if choice == "none":
        return None
    refuse_class_weights(choice, label.task, label.classes)
    rows = labels.reshape(-1).astype(np.int64)
    if isinstance(choice, Mapping):
        by_class = np.array([choice[name] for name in label.classes])
    else:
        counts = np.bincount(rows, minlength=len(label.classes))
        by_class = len(rows) / (np.count_nonzero(counts) * np.maximum(counts, 1))
    weights: NDArray[np.float32] = by_class.astype(np.float32)[rows]
    return weights


def multiplied(
    first: NDArray[np.float32] | None, second: NDArray[np.float32] | None
) -> NDArray[np.float32] | None:
    """The product of two weights of each row, where None stands for ones."""
    if first is None or second is None:
        return second if first is None else first
    return first * second
