"""The end-to-end model: raw columns in, scores out, as trained, evaluated, registered and served.

model = end_to_end(features, core)        # core: {"dense", "indices"} to logits
model.save("model.keras")
scores = predict(load_model(path), frame, features)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from pipeline.core.artifacts import require
from pipeline.core.encoder import FeatureEncoder
from pipeline.core.encoding import Encoded
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet, Label

_TENSOR_TYPES = {"float64": tf.float64, "string": tf.string, "bool": tf.bool}


@keras.saving.register_keras_serializable(package="pipeline")
class RawColumnsModel(keras.Model):  # type: ignore[misc]
    """Encoder, trained core and head in one model.

    A subclass and not a functional model, because Keras refuses inputs whose names hold a
    slash, and column names are the user's own.

    Args:
        encoder: Turns raw columns into `dense` and `indices`.
        core: The trained part, from these two to logits (binary `[rows, 1]`, multiclass
            `[rows, classes]`) or a standardised value (regression, `[rows, 1]`).
        **kwargs: Of every Keras model.
    """

    def __init__(self, encoder: FeatureEncoder, core: keras.Model, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.encoder = encoder
        self.core = core
        self.built = True

    def graph(self) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
        """`call` as one graph for any number of rows; traced on first use, then kept.

        Takes a dict of exactly the columns of `features.columns`. Quicker than calling the model,
        most of all for few rows.
        """
        if "_graph" not in self.__dict__:
            function = tf.function(
                self.call, input_signature=[signature(self.features)], autograph=False
            )
            # A partial, put past Keras: as an attribute it would be saved with every SavedModel.
            self.__dict__["_graph"] = partial(function)
        graph: Callable[[Mapping[str, tf.Tensor]], tf.Tensor] = self.__dict__["_graph"]
        return graph

    @property
    def features(self) -> FeatureSet:
        """The features it was trained on."""
        found: FeatureSet = self.encoder.features
        return found

    def call(self, raw: Mapping[str, tf.Tensor], training: bool = False) -> tf.Tensor:  # noqa: FBT001, FBT002 - Keras's own signature
        """Scores a batch.

        Args:
            raw: Every column of `features.columns` by name, each `[rows]`.
            training: Whether layers such as dropout are in training mode.

        Returns:
            float32: probabilities `[rows, classes]`, or for regression values `[rows]` in the
            label's unit.
        """
        return head(self.core(self.encoder(raw), training=training), self.features.label)

    def get_config(self) -> dict[str, Any]:
        """The model's config."""
        serialize = keras.saving.serialize_keras_object
        parts = {"encoder": serialize(self.encoder), "core": serialize(self.core)}
        return {**super().get_config(), **parts}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> RawColumnsModel:
        """Builds the model again; its weights are loaded afterwards."""
        restore = keras.saving.deserialize_keras_object
        parts = {
            name: restore(config[name], custom_objects=custom_objects)
            for name in ("encoder", "core")
        }
        return cls(**{**config, **parts})


def end_to_end(features: FeatureSet, core: keras.Model) -> RawColumnsModel:
    """Puts the encoder before and the head behind a trained core."""
    return RawColumnsModel(FeatureEncoder(features, name="encoder"), core, name="model")


def head(output: tf.Tensor, label: Label) -> tf.Tensor:
    """Turns what a core says into what is served.

    Args:
        output: Logits `[rows, 1]` (binary) or `[rows, classes]`, or standardised values
            `[rows, 1]`, of any float dtype.
        label: The task, and for regression its mean and scale.

    Returns:
        float32 probabilities `[rows, classes]`, for binary negative first; or values `[rows]`.
    """
    output = tf.cast(output, tf.float32)
    if label.task == "binary":
        # Both from the logit: 1 - p would lose the small probabilities' digits.
        return tf.sigmoid(tf.concat([-output, output], axis=1))
    if label.task == "multiclass":
        return tf.nn.softmax(output, axis=1)
    return output[:, 0] * label.scale + label.mean


def core_of(model: RawColumnsModel) -> keras.Model:
    """The trained core inside an end-to-end model."""
    return model.core


def load_model(path: Path) -> RawColumnsModel:
    """Loads an end-to-end model in Keras's safe mode.

    Raises:
        PipelineError: The file is missing, damaged, or holds another kind of model.
    """
    require(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise PipelineError(
            f"{path} cannot be loaded: {error}",
            expected="a .keras file that `train` wrote",
            remedy="remove it and run `pipeline run`",
        ) from error
    if not isinstance(model, RawColumnsModel):
        raise PipelineError(
            f"{path} holds a {type(model).__name__}",
            expected="a model of raw columns that `train` wrote",
            remedy="remove it and run `pipeline run`",
        )
    return model


def signature(features: FeatureSet) -> dict[str, tf.TensorSpec]:
    """The raw columns as a served signature takes them, in order, each `[rows]`."""
    return {
        column.name: tf.TensorSpec([None], _TENSOR_TYPES[column.dtype])
        for column in features.columns
    }


def tensors(frame: pd.DataFrame, features: FeatureSet) -> dict[str, tf.Tensor]:
    """The raw columns of a frame in served dtypes (see `table.as_served`) as tensors."""
    return {column.name: _tensor(frame[column.name]) for column in features.columns}


def _tensor(values: pd.Series[Any]) -> tf.Tensor:
    if not isinstance(values.dtype, pd.StringDtype):
        return tf.constant(values.to_numpy())
    # Each distinct word crosses from Python to TensorFlow once: several times quicker.
    codes, words = pd.factorize(values)
    return tf.gather(tf.constant(words.to_numpy(dtype=object), tf.string), codes)


def predict(
    model: RawColumnsModel, frame: pd.DataFrame, features: FeatureSet, batch_rows: int = 4096
) -> NDArray[np.float32]:
    """Scores every row of `frame`.

    Args:
        model: An end-to-end model.
        frame: Rows in served dtypes (see `table.as_served`).
        features: The model's features.
        batch_rows: Rows scored at a time.

    Returns:
        float32 `[rows, classes]`, or for regression `[rows]`.
    """
    raw = tensors(frame, features)
    return _in_batches(model.graph(), raw, len(frame), batch_rows)


def predict_encoded(
    model: RawColumnsModel, encoded: Encoded, batch_rows: int = 4096
) -> NDArray[np.float32]:
    """Scores rows that `encoding.encode` has encoded: the road without the encoder's graph."""

    def score(batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return head(model.core(batch, training=False), model.features.label)

    arrays = {"dense": encoded.dense, "indices": encoded.indices}
    return _in_batches(score, arrays, len(encoded.dense), batch_rows)


def _in_batches(
    score: Callable[[Any], Any], arrays: Mapping[str, Any], rows: int, batch_rows: int
) -> NDArray[Any]:
    # At least one batch, so that no rows give an empty array of the right shape.
    starts = range(0, max(rows, 1), batch_rows)
    return np.concatenate(
        [
            score({name: array[start : start + batch_rows] for name, array in arrays.items()})
            for start in starts
        ]
    )
