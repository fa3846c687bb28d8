"""Scores of the registry's champion on the rows at hand, through its own SavedModel.

The champion was trained on other features, perhaps by other code: it is asked as a client would
ask it, raw columns in, answers out, in plain TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf

from pipeline.core.features import Label
from pipeline.evaluate.measures import Scores

_BATCH_ROWS = 4096
_KINDS = {tf.float64: "numbers", tf.string: "text", tf.bool: "truth values"}


class NotComparableError(Exception):
    """The champion cannot answer for these rows; the message says why, in one sentence."""


def champion_scores(folder: Path, frame: pd.DataFrame, label: Label) -> Scores:
    """Asks the SavedModel in `folder` about every row.

    Args:
        folder: A SavedModel with the signature `serving_default` of `core.saved_model`.
        frame: Rows as processed, at least one.
        label: What is predicted now; its classes give the order of the columns returned.

    Returns:
        `[rows, classes]` probabilities, or `[rows]` values.

    Raises:
        NotComparableError: It needs a column that is gone or of another type, answers another
            question, or cannot be loaded.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
        answer = loaded.signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise NotComparableError(f"its SavedModel cannot be loaded: {error}") from error
    asked = _columns(answer.structured_input_signature[1], frame)
    batches: list[Any] = [
        _answers(answer(**_tensors(asked, start)), label)
        for start in range(0, len(frame), _BATCH_ROWS)
    ]
    scores: Scores = np.concatenate(batches)
    return scores


def _columns(signature: Mapping[str, tf.TensorSpec], frame: pd.DataFrame) -> dict[str, Any]:
    """The arrays that the signature asks for, whole columns, in its own dtypes."""
    gone = sorted(set(signature) - set(map(str, frame.columns)))
    if gone:
        raise NotComparableError("it needs columns that are gone: " + ", ".join(gone))
    return {name: _array(frame[name], spec) for name, spec in signature.items()}


def _array(values: pd.Series[Any], spec: tf.TensorSpec) -> Any:
    text = not pd.api.types.is_numeric_dtype(values)
    if text != (spec.dtype == tf.string):
        wanted = _KINDS.get(spec.dtype, spec.dtype.name)
        raise NotComparableError(f"it takes column '{values.name}' as {wanted}, now {values.dtype}")
    if text:
        return values.to_numpy(dtype=object)
    numbers = values.to_numpy(dtype=np.float64)
    if spec.dtype == tf.bool and not np.isin(numbers, (0.0, 1.0)).all():
        raise NotComparableError(f"it takes column '{values.name}' as truth values without gaps")
    return numbers.astype(spec.dtype.as_numpy_dtype)


def _tensors(asked: Mapping[str, Any], start: int) -> dict[str, tf.Tensor]:
    return {name: tf.constant(array[start : start + _BATCH_ROWS]) for name, array in asked.items()}


def _answers(answers: Mapping[str, tf.Tensor], label: Label) -> Scores:
    wanted = "value" if label.task == "regression" else "scores"
    if wanted not in answers:
        raise NotComparableError(f"it does not answer a {label.task} question")
    scores: Scores = answers[wanted].numpy()
    if wanted == "value":
        return scores
    classes = [word.decode("utf-8") for word in answers["classes"].numpy()[0]]
    if sorted(classes) != sorted(label.classes):
        raise NotComparableError("it knows other classes: " + ", ".join(classes))
    return scores[:, [classes.index(name) for name in label.classes]]
