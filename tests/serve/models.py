"""Small SavedModels for tests, as the ones TensorFlow Serving's own tests use."""

from __future__ import annotations

import shutil
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pipeline.serve.models import Model


class Everything(tf.Module):
    """`serving_default`: y = x / 2 + bias; other signatures for other shapes and dtypes."""

    def __init__(self, bias: float) -> None:
        self.bias = tf.Variable(bias)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def predict(self, x):
        return {"y": x / 2 + self.bias}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.float64, name="number"),
            tf.TensorSpec([None], tf.string, name="word"),
            tf.TensorSpec([None], tf.bool, name="flag"),
            tf.TensorSpec([None, 2], tf.int64, name="pair"),
        ]
    )
    def many(self, number, word, flag, pair):
        return {
            "number": number,
            "word": word,
            "word_bytes": word,
            "flag": flag,
            "pair": pair,
            "sum": number + tf.cast(tf.reduce_sum(pair, axis=1), tf.float64),
        }

    @tf.function(
        input_signature=[
            tf.TensorSpec(None, dtype, name=dtype.name)
            for dtype in (tf.int8, tf.uint8, tf.int16, tf.int32, tf.uint32, tf.uint64, tf.float32)
        ]
    )
    def numbers(self, *arrays):
        return {f"{array.dtype.name}_out": array for array in arrays}

    @tf.function(input_signature=[tf.TensorSpec(None, tf.half, name="x")])
    def halves(self, x):
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def classify(self, inputs):
        x = self._example(inputs)
        scores = tf.stack([x, x + self.bias], axis=1)
        words = tf.tile([["no", "yes"]], [tf.shape(x)[0], 1])
        return {"classes": words, "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def regress(self, inputs):
        return {"outputs": self._example(inputs) / 2 + self.bias}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def slow(self, x):
        matrix = tf.random.stateless_uniform([400, 400], [1, 2])
        for _ in tf.range(tf.cast(400 * x[0], tf.int32)):
            matrix = tf.tanh(tf.linalg.matmul(matrix, matrix))
        return {"y": x + 0 * matrix[0, 0]}

    @staticmethod
    def _example(inputs):
        spec = {"x": tf.io.FixedLenFeature([], tf.float32, default_value=-1.0)}
        return tf.io.parse_example(inputs, spec)["x"]


def write_model(base: Path, version: int, bias: float = 2.0) -> Path:
    """Writes BASE/VERSION; returns the version folder."""
    base.mkdir(parents=True, exist_ok=True)
    aside = base / f".aside-{version}"
    module = Everything(bias)
    signatures = {
        "serving_default": module.predict,
        "many": module.many,
        "numbers": module.numbers,
        "halves": module.halves,
        "classify": module.classify,
        "regress": module.regress,
        "slow": module.slow,
    }
    tf.saved_model.save(module, str(aside), signatures=signatures)
    folder = base / str(version)
    aside.rename(folder)
    return folder


def copy_model(source: Path, base: Path, version: int) -> Path:
    """Copies a version folder to BASE/VERSION in one step, as `export` publishes."""
    aside = base / f".aside-{version}"
    shutil.copytree(source, aside)
    aside.rename(base / str(version))
    return base / str(version)


def break_model(folder: Path) -> None:
    """Cuts the graph in the middle."""
    path = folder / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:200])


def without_signature(folder: Path, name: str) -> None:
    """Takes a signature out of a saved model."""
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    del saved.meta_graphs[0].signature_def[name]
    path.write_bytes(saved.SerializeToString())


def config_text(*models: Model) -> str:
    """A model config file."""
    blocks = []
    for model in models:
        versions = " ".join(f"versions: {version}" for version in sorted(model.specific or ()))
        policy = f"model_version_policy {{ specific {{ {versions} }} }}" if versions else ""
        labels = " ".join(
            f'version_labels {{ key: "{label}" value: {version} }}'
            for label, version in model.labels.items()
        )
        blocks.append(
            f'config {{ name: "{model.name}" base_path: "{model.base_path}" '
            f'model_platform: "tensorflow" {policy} {labels} }}'
        )
    return "model_config_list {\n" + "\n".join(blocks) + "\n}\n"
