"""Writes a trained model as a TensorFlow SavedModel: raw columns in, answers out, core ops only.

Signatures, as TensorFlow Serving wants them:

- `serving_default` (predict): each raw column by name, shape `[n]`. Answers for classes:
  `scores` float32 `[n, K]`, `classes` string `[n, K]`, `predicted` string `[n]`; for regression:
  `value` float32 `[n]`; always `version` int64 `[n]`.
- `classify` (classes only): `inputs` string `[n]`, serialised tf.Example; answers `classes` and
  `scores`.
- `regress` (binary and regression): `inputs` likewise; answers `outputs` float32 `[n]`, for
  binary the score of the positive class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pipeline.core.features import Column, FeatureSet

SERVING_DEFAULT = "serving_default"
CLASSIFY = "classify"
REGRESS = "regress"

_METHOD_NAMES = {
    SERVING_DEFAULT: "tensorflow/serving/predict",
    CLASSIFY: "tensorflow/serving/classify",
    REGRESS: "tensorflow/serving/regress",
}
_TENSOR_TYPES = {"float64": tf.float64, "string": tf.string, "bool": tf.bool}
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

Tensors = Mapping[str, Any]
Answer = Callable[[Tensors], dict[str, Any]]


def write_saved_model(
    model: keras.Model, features: FeatureSet, folder: Path, version: int | None
) -> None:
    """Writes `model` into the empty or missing `folder`.

    Loads in plain TensorFlow, with no code of this project and none of Keras. Every variable is
    written once (`keras.Model.export` writes each twice).

    Args:
        model: End-to-end Keras model: dict of raw tensors `(rows,)` in; probabilities
            `[rows, K]` or values `[rows]` out.
        features: What the model was fitted with.
        folder: Where saved_model.pb and variables/ go.
        version: What the answers' `version` says; None says 0.
    """
    module = tf.Module()
    signatures = {
        SERVING_DEFAULT: _predict_signature(model, features, version or 0),
        **_example_signatures(model, features),
    }
    # The functions use these variables; what the module does not track is not saved.
    module.variables_used = {
        variable.ref().deref()
        for function in signatures.values()
        for variable in function.variables
    }
    module.variables_used = sorted(module.variables_used, key=lambda variable: str(variable.name))
    tf.saved_model.save(module, str(folder), signatures=signatures)
    _finish(folder / "saved_model.pb", features)
