"""Proves that an exported model answers as the trained one does, on real rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.encoding import encode
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet
from pipeline.core.model import RawColumnsModel, predict_encoded
from pipeline.core.session import SavedModelSession

Array = NDArray[Any]

_SHOWN_COLUMNS = 12


def largest_difference(
    model: RawColumnsModel,
    features: FeatureSet,
    folder: Path,
    frame: pd.DataFrame,
    tolerance: float,
) -> float:
    """Compares the two roads from a raw row to a score, and the words that go with it.

    Expected: pandas encodes (`core.encoding`), the trained core scores. Actual: the SavedModel,
    loaded in plain TensorFlow, takes the raw columns by its served signature.

    Args:
        model: The trained model.
        features: Its features.
        folder: The SavedModel.
        frame: Rows in served dtypes, one at least.
        tolerance: Largest difference allowed.

    Returns:
        The largest absolute difference of any score; for regression, of any value divided by the
        label's standard deviation.

    Raises:
        PipelineError: The SavedModel does not load, a difference is above the tolerance or no
            number, or a class name is wrong; shows the row, the expected and the actual answer.
    """
    expected = expected_scores(model, features, frame)
    answer = _answer(folder, frame)
    return compare(expected, answer, features, frame, tolerance)


def expected_scores(model: RawColumnsModel, features: FeatureSet, frame: pd.DataFrame) -> Array:
    """What the trained model answers: scores `[n, K]`; for regression values `[n]`."""
    return predict_encoded(model, encode(frame, features))


def compare(
    expected: Array,
    answer: Mapping[str, Array],
    features: FeatureSet,
    frame: pd.DataFrame,
    tolerance: float,
    *,
    who: str = "the exported model",
) -> float:
    """Holds an answer against the expected scores; the largest difference, as `largest_difference`.

    Args:
        expected: See `expected_scores`.
        answer: Arrays by output name, strings as bytes.
        features: The model's features.
        frame: The rows asked about.
        tolerance: Largest difference allowed.
        who: Who answered, for the message.

    Raises:
        PipelineError: See `largest_difference`.
    """
    regression = features.label.task == "regression"
    output = "value" if regression else "scores"
    if output not in answer:
        raise PipelineError(
            f"{who} cannot answer for this table: it gives {', '.join(sorted(answer))}",
            expected=f"'{output}'",
            remedy="remove that folder and run `pipeline run`",
        )
    actual = answer[output]
    _check_shape(expected, actual, who)
    scale = features.label.scale if regression else 1.0
    differences = np.abs(expected.astype(np.float64) - actual) / scale
    by_row = differences.reshape(len(frame), -1).max(axis=1)
    # Written so that NaN, which compares as false, is refused too.
    wrong = ~(by_row <= tolerance)
    if wrong.any():
        worst = int(np.argmax(np.where(np.isnan(by_row), np.inf, by_row)))
        raise _refused(
            f"{wrong.sum()} of {len(frame)} rows are answered with a difference above {tolerance:g}"
            f" (the largest is {by_row[worst]:g})",
            frame.iloc[worst],
            expected[worst],
            actual[worst],
            who,
        )
    if not regression:
        _check_words(features, expected, answer, frame, who)
    return float(by_row.max())


def _answer(folder: Path, frame: pd.DataFrame) -> dict[str, Array]:
    try:
        with SavedModelSession(folder) as session:
            return session.answer(frame)
    except (OSError, KeyError, tf.errors.OpError) as error:
        raise PipelineError(
            f"the SavedModel {folder} cannot answer: {error}",
            expected="a SavedModel with the signature serving_default over the raw columns",
            remedy="remove that folder and run `pipeline run`",
        ) from error


def _check_shape(expected: Array, actual: Array, who: str) -> None:
    if expected.shape != actual.shape:
        raise PipelineError(
            f"{who} answers with the shape {list(actual.shape)}",
            expected=f"{list(expected.shape)}, as the trained model",
            remedy="remove that version folder and run `pipeline run`",
        )


def _check_words(
    features: FeatureSet,
    expected: Array,
    answer: Mapping[str, Array],
    frame: pd.DataFrame,
    who: str,
) -> None:
    classes = np.array(features.label.classes, object)
    predicted = np.array([word.decode("utf-8") for word in answer["predicted"]], object)
    # By the exported scores: at equal scores the last digit may decide between two classes.
    wrong = predicted != classes[answer["scores"].argmax(axis=1)]
    named = np.array([[word.decode("utf-8") for word in row] for row in answer["classes"]], object)
    wrong |= (named != classes).any(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise _refused(
            f"{wrong.sum()} of {len(frame)} rows are answered with wrong class names",
            frame.iloc[first],
            f"{classes[expected[first].argmax()]} of {list(classes)}",
            f"{predicted[first]} of {list(named[first])}",
            who,
        )


def _refused(
    what: str, row: pd.Series[Any], expected: object, actual: object, who: str
) -> PipelineError:
    values = row.head(_SHOWN_COLUMNS).to_dict()
    plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
    shown = ", ".join(f"{name}={value!r}" for name, value in plain.items())
    more = ", ..." if len(row) > _SHOWN_COLUMNS else ""
    return PipelineError(
        f"{who} is not the trained model: {what}; nothing is published"
        f"\n  row:      {shown}{more}\n  actual:   {actual}",
        expected=str(expected),
        remedy="report it, or raise export.tolerance if the difference does not matter to you",
    )
