"""The end-to-end model: one file, the same answers wherever it is loaded."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipeline.core.encoding import encode
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet, Label, NumericFeature
from pipeline.core.model import (
    RawColumnsModel,
    core_of,
    end_to_end,
    head,
    load_model,
    predict,
    predict_encoded,
    signature,
    tensors,
)
from tests.core.feature_examples import COLUMNS, everything, rows

REPOSITORY = Path(__file__).resolve().parents[2]


def tiny_core(features: FeatureSet, outputs: int) -> keras.Model:
    keras.utils.set_random_seed(7)
    dense = keras.Input((len(features.dense_names),), name="dense")
    indices = keras.Input((len(features.index_columns),), dtype="int32", name="indices")
    parts = [
        keras.layers.Embedding(column.cardinality, 2, embeddings_initializer="normal")(
            indices[:, i]
        )
        for i, column in enumerate(features.index_columns)
    ]
    joined = keras.layers.Concatenate()([dense, *parts])
    logits = keras.layers.Dense(outputs, name="logits")(joined)
    return keras.Model({"dense": dense, "indices": indices}, logits)


ONE_NUMBER = FeatureSet(
    columns=COLUMNS[:1],
    label=Label(column="y", task="regression", mean=100.0, scale=20.0),
    features=(NumericFeature(name="size", column="size"),),
    rows={},
)


def one_number_core() -> keras.Model:
    """Says the standardised number itself."""
    dense = keras.Input((1,), name="dense")
    indices = keras.Input((0,), dtype="int32", name="indices")
    return keras.Model({"dense": dense, "indices": indices}, keras.layers.Identity()(dense))


@pytest.fixture(scope="module")
def model() -> RawColumnsModel:
    return end_to_end(everything, tiny_core(everything, outputs=3))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return rows(500)


@pytest.fixture(scope="module")
def scores(model: RawColumnsModel, frame: pd.DataFrame) -> np.ndarray:
    return predict(model, frame, everything)


@pytest.fixture(scope="module")
def folder(
    model: RawColumnsModel, frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """model.keras, a SavedModel and the rows."""
    made = tmp_path_factory.mktemp("model")
    model.save(made / "model.keras")
    frame.to_parquet(made / "rows.parquet")
    names = [f"c{i}" for i in range(len(COLUMNS))]
    specs = {
        name: tf.TensorSpec([None], spec.dtype, name=name)
        for name, spec in zip(names, signature(everything).values(), strict=True)
    }

    def answer(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"scores": model({c.name: raw[n] for c, n in zip(COLUMNS, names, strict=True)})}

    module = tf.Module()
    module.model = model
    serving = tf.function(answer).get_concrete_function(**specs)
    tf.saved_model.save(module, str(made / "saved"), signatures={"serving_default": serving})
    return made


def test_probabilities_of_every_class(scores: np.ndarray) -> None:
    assert scores.shape == (500, 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_both_roads_agree(model: RawColumnsModel, frame: pd.DataFrame, scores: np.ndarray) -> None:
    encoded = encode(frame, everything)
    np.testing.assert_allclose(predict_encoded(model, encoded), scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("batch_rows", [1, 7, 499, 500, 10_000])
def test_batches_change_nothing(
    model: RawColumnsModel, frame: pd.DataFrame, scores: np.ndarray, batch_rows: int
) -> None:
    few = frame.head(50) if batch_rows == 1 else frame
    made = predict(model, few, everything, batch_rows=batch_rows)
    np.testing.assert_allclose(made, scores[: len(few)], rtol=1e-5, atol=1e-7)


def test_no_rows_give_no_scores(model: RawColumnsModel) -> None:
    assert predict(model, rows(0), everything).shape == (0, 3)


def test_the_eager_model_says_what_the_graph_says(
    model: RawColumnsModel, frame: pd.DataFrame, scores: np.ndarray
) -> None:
    eager = model(tensors(frame, everything))
    np.testing.assert_allclose(eager.numpy(), scores, rtol=1e-5, atol=1e-7)
    assert model.graph() is model.graph()


LOAD_BOTH = """
import sys, pathlib, numpy as np, pandas as pd, tensorflow as tf
folder = pathlib.Path(sys.argv[1])
rows = pd.read_parquet(folder / "rows.parquet")
serve = tf.saved_model.load(str(folder / "saved")).signatures["serving_default"]
raw = {f"c{i}": tf.constant(rows[name].tolist(), serve.structured_input_signature[1][f"c{i}"].dtype)
       for i, name in enumerate(rows)}
np.save(folder / "plain.npy", serve(**raw)["scores"].numpy())
assert not [name for name in sys.modules if name.startswith("pipeline")]

from pipeline.core.model import load_model, predict
model = load_model(folder / "model.keras")
np.save(folder / "keras.npy", predict(model, rows, model.features))
"""


def test_fresh_processes_answer_alike(folder: Path, scores: np.ndarray) -> None:
    """The SavedModel in plain TensorFlow, and the Keras file, in a process of their own."""
    command = [sys.executable, "-c", LOAD_BOTH, str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, timeout=240)
    for name in ("plain.npy", "keras.npy"):
        np.testing.assert_allclose(np.load(folder / name), scores, rtol=1e-5, atol=1e-7)


def test_the_file_carries_no_code(folder: Path) -> None:
    with zipfile.ZipFile(folder / "model.keras") as archive:
        config = json.loads(archive.read("config.json"))
    assert config["registered_name"] == "pipeline>RawColumnsModel"
    assert "__lambda__" not in json.dumps(config)


def test_the_core_comes_back(model: RawColumnsModel, frame: pd.DataFrame, folder: Path) -> None:
    loaded = load_model(folder / "model.keras")
    encoded = encode(frame, everything)
    inputs = {"dense": encoded.dense, "indices": encoded.indices}
    np.testing.assert_array_equal(core_of(loaded)(inputs), core_of(model)(inputs))
    assert loaded.features == everything


def test_a_model_goes_when_nobody_holds_it() -> None:
    made = end_to_end(ONE_NUMBER, one_number_core())
    predict(made, pd.DataFrame({"size": [1.0]}), ONE_NUMBER)
    gone = weakref.ref(made)
    del made
    gc.collect()
    assert gone() is None


def test_binary_scores_are_negative_then_positive() -> None:
    label = Label(column="y", task="binary", classes=("no", "yes"))
    scores = head(tf.constant([[0.0], [-30.0], [30.0], [1.5]], tf.float16), label).numpy()
    assert scores.dtype == np.float32
    assert scores[0].tolist() == [0.5, 0.5]
    # Small probabilities keep their digits on both sides.
    assert scores[1] == pytest.approx([1, 9.357623e-14], rel=1e-5)
    assert scores[2] == pytest.approx([9.357623e-14, 1], rel=1e-5)
    assert scores[3] == pytest.approx([1 - 0.81757448, 0.81757448])


def test_regression_values_are_in_the_labels_unit(tmp_path: Path) -> None:
    end_to_end(ONE_NUMBER, one_number_core()).save(tmp_path / "model.keras")
    frame = pd.DataFrame({"size": [0.0, 1.0, -2.0]})
    values = predict(load_model(tmp_path / "model.keras"), frame, ONE_NUMBER)
    assert values.shape == (3,)
    assert values.tolist() == [100.0, 120.0, 60.0]


def test_a_global_precision_policy_does_not_reach_raw_columns(frame: pd.DataFrame) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        made = end_to_end(everything, tiny_core(everything, outputs=3))
    finally:
        keras.config.set_dtype_policy("float32")
    encoded = made.encoder(tensors(frame, everything))
    np.testing.assert_array_equal(encoded["dense"].numpy(), encode(frame, everything).dense)
    assert predict(made, frame, everything).dtype == np.float32


def test_a_missing_model_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="does not exist"):
        load_model(tmp_path / "model.keras")


def test_a_damaged_model_is_refused(tmp_path: Path, folder: Path) -> None:
    whole = (folder / "model.keras").read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "text": b"no model"}.items():
        path = tmp_path / f"{name}.keras"
        path.write_bytes(content)
        with pytest.raises(PipelineError, match="cannot be loaded"):
            load_model(path)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((1,))
    keras.Model(inputs, inputs).save(tmp_path / "model.keras")
    with pytest.raises(PipelineError, match="holds a Functional"):
        load_model(tmp_path / "model.keras")


def test_tensors_are_typed_as_the_signature(frame: pd.DataFrame) -> None:
    raw = tensors(frame, everything)
    assert {name: tensor.dtype for name, tensor in raw.items()} == {
        name: spec.dtype for name, spec in signature(everything).items()
    }
    assert [word.decode() for word in raw["word"].numpy()] == frame["word"].tolist()
