"""Answers of Classify and Regress, filled from what a graph gave.

Checks, their order, codes and texts are those of TensorFlow Serving's classifier.cc and
regressor.cc.
"""

from __future__ import annotations

import numpy as np
from tensorflow_serving.apis import classification_pb2, regression_pb2

from pipeline.serve.dtypes import Array, dtype_name, enum_of
from pipeline.serve.status import invalid

CLASSES = "classes"
SCORES = "scores"


def fill_classes(
    result: classification_pb2.ClassificationResult,
    tensors: dict[str, str],
    answers: dict[str, Array],
    rows: int,
) -> None:
    """Classes and scores of each example.

    Args:
        result: Filled.
        tensors: Tensor names by `classes` and `scores`, as far as there are any.
        answers: Arrays by tensor name.
        rows: How many examples were asked about.

    Raises:
        ServingError: INVALID_ARGUMENT where dtypes or shapes do not fit.
    """
    found = {key: answers[name] for key, name in tensors.items()}
    for key, array in found.items():
        _check_classes(key, array, rows)
    widths = {array.shape[1] for array in found.values()}
    if len(widths) > 1:
        raise invalid(
            "Tensors class and score should match in dim_size(1). Got "
            f"{found[CLASSES].shape[1]} vs. {found[SCORES].shape[1]}"
        )
    labels = found[CLASSES].tolist() if CLASSES in found else None
    scores = found[SCORES].tolist() if SCORES in found else None
    for row in range(rows):
        classes = result.classifications.add().classes
        for column in range(*widths):
            one = classes.add()
            if labels is not None:
                one.label = labels[row][column].decode("utf-8", errors="replace")
            if scores is not None:
                one.score = scores[row][column]


def _check_classes(key: str, array: Array, rows: int) -> None:
    if array.ndim != 2:
        shape = ",".join(map(str, array.shape))
        raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got [{shape}]")
    dtype = np.dtype(object) if key == CLASSES else np.dtype(np.float32)
    if array.dtype != dtype:
        wanted = "DT_STRING" if key == CLASSES else "DT_FLOAT"
        raise invalid(f"Expected {key} Tensor of {wanted}. Got: {_enum_name(array)}")
    if len(array) != rows:
        raise invalid(f"Expected {key} output batch size of {rows}. Got: {len(array)}")


def _enum_name(array: Array) -> str:
    return f"DT_{dtype_name(enum_of(array)).upper()}"


def fill_values(result: regression_pb2.RegressionResult, values: Array, rows: int) -> None:
    """One value for each example.

    Args:
        result: Filled.
        values: `[rows]` or `[rows, 1]`, float32.
        rows: How many examples were asked about.

    Raises:
        ServingError: INVALID_ARGUMENT where dtype or shape do not fit.
    """
    if not (values.ndim == 1 or (values.ndim == 2 and values.shape[1] == 1)):
        shape = ",".join(map(str, values.shape))
        raise invalid(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got [{shape}]"
        )
    if len(values) != rows:
        raise invalid(f"Input batch size did not match output batch size: {rows} vs. {len(values)}")
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_enum_name(values)}")
    for value in values.ravel().tolist():
        result.regressions.add(value=value)
