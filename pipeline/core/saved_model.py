"""Writes a trained model as a TensorFlow SavedModel: raw columns in, answers out, core ops only.

Signatures, as TensorFlow Serving wants them:

- `serving_default` (predict): each raw column by name, shape `[n]`. Answers for classes:
  `scores` float32 `[n, K]`, `classes` string `[n, K]`, `predicted` string `[n]`; for regression:
  `value` float32 `[n]`; always `version` int64 `[n]`.
- `classify` (classes only): `inputs` string `[n]`, serialised tf.Examples; answers `classes` and
  `scores`.
- `regress` (binary and regression): `inputs` likewise; answers `outputs` float32 `[n]`, for
  binary the score of the positive class.

In Python `tf.saved_model.load(folder).answer({column: tensor, ...})` takes columns of any name,
where keyword arguments, as `signatures["serving_default"](...)` takes them, cannot have them all.

A tf.Example holds numbers as float_list, words as bytes_list and truth values as int64_list; a
feature that is left out counts as missing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from pipeline.core.features import FeatureSet, Label
from pipeline.core.model import RawColumnsModel, signature

SERVING_DEFAULT = "serving_default"
CLASSIFY = "classify"
REGRESS = "regress"

_METHOD_NAMES = {
    SERVING_DEFAULT: "tensorflow/serving/predict",
    CLASSIFY: "tensorflow/serving/classify",
    REGRESS: "tensorflow/serving/regress",
}
_PLAIN_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

Tensors = dict[str, Any]


def write_saved_model(
    model: RawColumnsModel, features: FeatureSet, folder: Path, version: int | None
) -> None:
    """Writes `model` into the empty or missing `folder`.

    Loads in plain TensorFlow, with no code of this project and none of Keras. Every variable is
    written once (`keras.Model.export` writes each twice).

    Args:
        model: The end-to-end model.
        features: Its features.
        folder: Where saved_model.pb and variables/ go.
        version: What the answers' `version` says; None says 0.
    """
    names = _graph_names(features)
    scores = _shared_scores(model, features)
    answer = _shared_answer(scores, features, version or 0)
    functions = {SERVING_DEFAULT: _predict(answer, features, names)}
    functions |= _example_functions(scores, features)
    module = tf.Module()
    module.answer = answer
    # What the functions use, once each; the Keras model would drag its layers along.
    module.variables_used = [variable.value for variable in model.variables]
    module.tables_used = model.encoder.lookup
    tf.saved_model.save(module, str(folder), signatures=functions)
    _finish(folder / "saved_model.pb", {name: column for column, name in names.items()})


def _graph_names(features: FeatureSet) -> dict[str, str]:
    """A name for each column inside the graph: its own, where TensorFlow can use that.

    TensorFlow's Python maps other names to ones that may collide, tells no capitals apart, and
    cannot take `self`. The signature says the real names all the same (see `_finish`).
    """
    taken = Counter(column.name.lower() for column in features.columns)
    names = {}
    for position, column in enumerate(features.columns):
        name = column.name
        if not _PLAIN_NAME.fullmatch(name) or name == "self" or taken[name.lower()] > 1:
            name = f"column_{position}"
            while name in taken:
                name += "_"
        names[column.name] = name
    return names


def _shared_scores(model: RawColumnsModel, features: FeatureSet) -> Callable[[Tensors], Any]:
    """The model as one function of the graph, which all signatures call."""

    def scores(raw: Tensors) -> Any:
        return model(raw, training=False)

    shared: Callable[[Tensors], Any] = _traced(scores, signature(features))
    return shared


def _shared_answer(
    scores: Callable[[Tensors], Any], features: FeatureSet, version: int
) -> Callable[[Tensors], Tensors]:
    """The answer to a predict request, by the columns' real names."""

    def answer(raw: Tensors) -> Tensors:
        found = scores(raw)
        number = tf.constant(version, tf.int64)
        return {**_answer(found, features.label), "version": tf.fill(tf.shape(found)[:1], number)}

    shared: Callable[[Tensors], Tensors] = _traced(answer, signature(features))
    return shared


def _traced(function: Callable[[Any], Any], spec: Any) -> Any:
    # Without AutoGraph, which would look for this source code again at every trace.
    return tf.function(function, input_signature=[spec], autograph=False)


def _predict(
    answer: Callable[[Tensors], Tensors], features: FeatureSet, names: Mapping[str, str]
) -> Any:
    """`serving_default`: takes the columns under their graph names."""

    def predict(raw: Tensors) -> Tensors:
        return answer({column: raw[name] for column, name in names.items()})

    specs = {
        names[column]: tf.TensorSpec(spec.shape, spec.dtype, name=names[column])
        for column, spec in signature(features).items()
    }
    return _traced(predict, specs).get_concrete_function()


def _answer(scores: Any, label: Label) -> Tensors:
    if label.task == "regression":
        return {"value": scores}
    words = tf.constant(label.classes)
    return {
        "scores": scores,
        "classes": tf.tile(words[tf.newaxis], [tf.shape(scores)[0], 1]),
        "predicted": tf.gather(words, tf.argmax(scores, axis=1)),
    }


def _example_functions(scores: Callable[[Tensors], Any], features: FeatureSet) -> Tensors:
    """The signatures that take serialised tf.Examples."""
    label = features.label

    def classify(inputs: Any) -> Tensors:
        answer = _answer(scores(_parsed(inputs, features)), label)
        return {"classes": answer["classes"], "scores": answer["scores"]}

    def regress(inputs: Any) -> Tensors:
        found = scores(_parsed(inputs, features))
        return {"outputs": found if label.task == "regression" else found[:, 1]}

    kinds = {
        "binary": {CLASSIFY: classify, REGRESS: regress},
        "multiclass": {CLASSIFY: classify},
        "regression": {REGRESS: regress},
    }
    spec = tf.TensorSpec([None], tf.string, name="inputs")
    return {
        name: _traced(function, spec).get_concrete_function()
        for name, function in kinds[label.task].items()
    }


def _parsed(serialized: Any, features: FeatureSet) -> Tensors:
    """Raw columns from tf.Examples; what an example leaves out is missing."""
    parts = {
        "float64": tf.io.FixedLenFeature([], tf.float32, default_value=float("nan")),
        "string": tf.io.FixedLenFeature([], tf.string, default_value=""),
        "bool": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    }
    spec = {column.name: parts[column.dtype] for column in features.columns}
    parsed = tf.io.parse_example(serialized, spec)
    types = {name: one.dtype for name, one in signature(features).items()}
    return {
        name: tf.cast(one, types[name]) if one.dtype != types[name] else one
        for name, one in parsed.items()
    }


def _finish(path: Path, columns: Mapping[str, str]) -> None:
    """Gives the signatures in a saved_model.pb their method names and the columns' real names.

    tf.saved_model.save calls every signature a predict one.

    Args:
        path: The file, written over.
        columns: Column by its name in the graph.
    """
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signatures = saved.meta_graphs[0].signature_def
    for name, method in _METHOD_NAMES.items():
        if name in signatures:
            signatures[name].method_name = method
    inputs = signatures[SERVING_DEFAULT].inputs
    renamed = {columns[name]: _copied(info) for name, info in inputs.items()}
    inputs.clear()
    for column, info in renamed.items():
        inputs[column].CopyFrom(info)
    path.write_bytes(saved.SerializeToString(deterministic=True))


def _copied(info: meta_graph_pb2.TensorInfo) -> meta_graph_pb2.TensorInfo:
    copy = meta_graph_pb2.TensorInfo()
    copy.CopyFrom(info)
    return copy
