"""How good the weights are after an epoch: exact metrics over the whole validation split.

Measured once an epoch in NumPy: metrics that are updated in every step would slow training, and
Keras's AUC is an approximation by thresholds.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from pipeline.core.errors import DataError
from pipeline.core.features import Label
from pipeline.train.agreement import refuse_other_monitor
from pipeline.train.examples import Examples
from pipeline.train.strategy import ALONE, Team

GREATER_IS_BETTER = frozenset({"val_auc", "val_accuracy"})
"""The others are errors."""

_BLOCK_ROWS = 8192


class Validation:
    """Measures a core on the validation split.

    Args:
        core: The core, trained in place.
        examples: The validation split.
        label: The task.
        loss: The loss, without label smoothing.
        team: Shares the rows out; every worker gets all outputs, so all decide alike.
    """

    def __init__(
        self,
        core: keras.Model,
        examples: Examples,
        label: Label,
        loss: keras.losses.Loss,
        team: Team = ALONE,
    ) -> None:
        self.examples = examples
        self.label = label
        self.loss = loss
        self.team = team
        # Traced once for any number of rows.
        shapes = {
            name: tf.TensorSpec([None, array.shape[1]], array.dtype)
            for name, array in examples.inputs.items()
        }
        self.score = tf.function(
            lambda inputs: tf.cast(core(inputs, training=False), tf.float32),
            input_signature=[shapes],
        )

    def outputs(self) -> NDArray[np.float32]:
        """What the core says: logits or standardised values, float32 `[rows, units]`."""
        inputs = self.examples.inputs
        mine = self._my_rows()
        blocks = []
        for start in range(0, len(mine), _BLOCK_ROWS):
            rows = mine[start : start + _BLOCK_ROWS]
            blocks.append(self.score({name: array[rows] for name, array in inputs.items()}).numpy())
        return self.team.gather(np.concatenate(blocks))[: len(self.examples)]

    def _my_rows(self) -> NDArray[np.intp]:
        """Row numbers, as many for each worker; the last row fills up."""
        each = -(-len(self.examples) // self.team.workers)
        rows = np.arange(self.team.worker * each, (self.team.worker + 1) * each)
        return np.minimum(rows, len(self.examples) - 1)

    def __call__(self) -> dict[str, float]:
        """The metrics of `agreement.MEASURED`; val_auc only where both classes have rows."""
        outputs = self.outputs()
        labels = self.examples.labels
        loss = self._loss(outputs)
        if not np.isfinite(outputs).all():  # weights have just exploded: only the loss can say so
            return {"val_loss": float("nan")}
        if self.label.task == "regression":
            return {"val_loss": loss, **_errors(outputs - labels, self.label.scale)}
        if self.label.task == "multiclass":
            return {"val_loss": loss, "val_accuracy": float(np.mean(outputs.argmax(1) == labels))}
        return {"val_loss": loss, **_binary(outputs[:, 0], labels[:, 0])}

    def _loss(self, outputs: NDArray[np.float32]) -> float:
        """The mean loss of the rows, each by its own weight where rows have weights."""
        weights = self.examples.weights
        if weights is None:
            return float(self.loss(self.examples.labels, outputs))
        share = float(np.mean(weights, dtype=np.float64)) or 1.0
        return float(self.loss(self.examples.labels, outputs, sample_weight=weights)) / share


def _errors(errors: NDArray[Any], scale: float) -> dict[str, float]:
    """Mean absolute and root mean squared error in the label's unit."""
    return {
        "val_mae": float(np.abs(errors).mean()) * scale,
        "val_rmse": float(np.sqrt(np.square(errors, dtype=np.float64).mean())) * scale,
    }


def _binary(logits: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    metrics = {"val_accuracy": float(np.mean((logits > 0) == (labels > 0)))}
    if len(np.unique(labels)) == 2:
        metrics["val_auc"] = float(roc_auc_score(labels, logits))
    return metrics


def require_monitor(monitor: str, label: Label, validation: Examples) -> None:
    """Refuses a monitor that the task or the validation split cannot give.

    Raises:
        ConfigError: The task does not have the metric.
        DataError: The validation split has one class only, which leaves AUC undefined.
    """
    refuse_other_monitor(monitor, label.task)
    if monitor == "val_auc" and len(np.unique(validation.labels)) < 2:
        raise DataError(
            "all validation rows are of one class, so val_auc is undefined",
            expected="rows of both classes in the validation split",
            remedy="change data.split, or set train.early_stopping.monitor=val_loss",
        )
