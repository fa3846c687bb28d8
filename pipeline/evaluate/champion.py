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
from tensorflow.core.protobuf import meta_graph_pb2

from pipeline.core.features import Label
from pipeline.core.session import Array, SavedModelSession
from pipeline.evaluate.measures import Scores

SIGNATURE = "serving_default"
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
        champion = SavedModelSession(folder)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise NotComparableError(f"its SavedModel cannot be loaded: {error}") from error
    with champion:
        if SIGNATURE not in champion.signatures:
            raise NotComparableError(f"its SavedModel has no signature {SIGNATURE}")
        asked = _columns(champion.signatures[SIGNATURE].inputs, frame)
        batches: list[Any] = [
            _answers(champion.answer(asked.iloc[start : start + _BATCH_ROWS], SIGNATURE), label)
            for start in range(0, len(asked), _BATCH_ROWS)
        ]
    scores: Scores = np.concatenate(batches)
    return scores


def _columns(inputs: Mapping[str, meta_graph_pb2.TensorInfo], frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that the signature asks for, in its own dtypes."""
    gone = sorted(set(inputs) - set(map(str, frame.columns)))
    if gone:
        raise NotComparableError("it needs columns that are gone: " + ", ".join(gone))
    return pd.DataFrame(
        {name: _array(frame[name], tf.as_dtype(info.dtype)) for name, info in inputs.items()}
    )


def _array(values: pd.Series[Any], dtype: tf.DType) -> Any:
    text = not pd.api.types.is_numeric_dtype(values)
    if text != (dtype == tf.string):
        wanted = _KINDS.get(dtype, dtype.name)
        raise NotComparableError(f"it takes column '{values.name}' as {wanted}, now {values.dtype}")
    if text:
        return values.to_numpy(dtype=object)
    numbers = values.to_numpy(dtype=np.float64)
    if dtype == tf.bool and not np.isin(numbers, (0.0, 1.0)).all():
        raise NotComparableError(f"it takes column '{values.name}' as truth values without gaps")
    return numbers.astype(dtype.as_numpy_dtype)


def _answers(answers: Mapping[str, Array], label: Label) -> Scores:
    wanted = "value" if label.task == "regression" else "scores"
    if wanted not in answers:
        raise NotComparableError(f"it does not answer a {label.task} question")
    scores: Scores = answers[wanted]
    if wanted == "value":
        return scores
    classes = [word.decode("utf-8") for word in answers["classes"][0]]
    if sorted(classes) != sorted(label.classes):
        raise NotComparableError("it knows other classes: " + ", ".join(classes))
    return scores[:, [classes.index(name) for name in label.classes]]
