"""The requests a server answers before it takes traffic: real rows, through every signature."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.core.features import Column, FeatureSet
from pipeline.core.saved_model import CLASSIFY, REGRESS, SERVING_DEFAULT
from pipeline.core.session import column_array

WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
"""Where TensorFlow Serving looks, inside a version folder."""


def write_warmup(frame: pd.DataFrame, features: FeatureSet, name: str, folder: Path) -> int:
    """Writes the warm-up requests of the SavedModel in `folder`; returns their number.

    One row and all rows, since the two run different kernels; tf.Examples for one row.

    Args:
        frame: Rows in served dtypes.
        features: The model's features.
        name: Served model name.
        folder: The version folder.
    """
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    logs = list(_requests(frame, features, name))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString(deterministic=True))
    return len(logs)


def _requests(
    frame: pd.DataFrame, features: FeatureSet, name: str
) -> Iterator[prediction_log_pb2.PredictionLog]:
    for rows in (frame.head(1), frame):
        log = prediction_log_pb2.PredictionLog()
        request = log.predict_log.request
        request.model_spec.name = name
        request.model_spec.signature_name = SERVING_DEFAULT
        for column in features.columns:
            tensor = tf.make_tensor_proto(column_array(rows[column.name]))
            request.inputs[column.name].CopyFrom(tensor)
        yield log
    one = {column: frame[column.name].iloc[0] for column in features.columns}
    if features.label.task != "regression":
        log = prediction_log_pb2.PredictionLog()
        _fill_request(log.classify_log.request, name, CLASSIFY, one)
        yield log
    if features.label.task != "multiclass":
        log = prediction_log_pb2.PredictionLog()
        _fill_request(log.regress_log.request, name, REGRESS, one)
        yield log


def _fill_request(request: Any, name: str, signature: str, row: dict[Column, Any]) -> None:
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    example = request.input.example_list.examples.add()
    for column, value in row.items():
        feature = example.features.feature[column.name]
        match column.dtype:
            case "float64":
                feature.float_list.value.append(value)
            case "string":
                feature.bytes_list.value.append(value.encode("utf-8"))
            case "bool":
                feature.int64_list.value.append(int(value))
