"""The SavedModel: loads without this project, answers alike, weighs what its weights weigh."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from pipeline.core.features import Column, FeatureSet, Label, NumericFeature
from pipeline.core.model import end_to_end, predict
from pipeline.core.saved_model import write_saved_model
from pipeline.core.session import SavedModelSession
from tests.core.feature_examples import everything, rows
from tests.core.test_model import tiny_core

IN_A_FRESH_PROCESS = """
import json, sys
import numpy as np
import tensorflow as tf

folder, table = sys.argv[1:]
loaded = tf.saved_model.load(folder)
raw = {}
for name, values in json.load(open(table, encoding="utf-8")).items():
    raw[name] = tf.constant(values) if isinstance(values[0], (str, bool)) else tf.constant(
        np.array(values, np.float64))
answer = loaded.answer(raw)
assert not [name for name in sys.modules if name.split(".")[0] == "pipeline"]
words = {key: np.char.decode(answer[key].numpy().astype(bytes), "utf-8").tolist()
         for key in ("classes", "predicted")}
scores, version = answer["scores"].numpy().tolist(), answer["version"].numpy().tolist()
print(json.dumps({"scores": scores, "version": version, **words}))
"""


def signatures(folder: Path) -> dict[str, object]:
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    found = dict(saved.meta_graphs[0].signature_def)
    del found["__saved_model_init_op"]
    return found


def example(**values: object) -> bytes:
    made = tf.train.Example()
    for name, value in values.items():
        feature = made.features.feature[name]
        match value:
            case bool():
                feature.int64_list.value.append(int(value))
            case float():
                feature.float_list.value.append(value)
            case str():
                feature.bytes_list.value.append(value.encode())
    return made.SerializeToString()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    """A multi-class model with every kind of feature, and its SavedModel."""
    model = end_to_end(everything, tiny_core(everything, 3))
    folder = tmp_path_factory.mktemp("saved") / "7"
    write_saved_model(model, everything, folder, 7)
    return model, folder


def test_a_process_without_this_project_answers_alike(
    written: tuple[keras.Model, Path], tmp_path: Path
) -> None:
    model, folder = written
    frame = rows(50)
    table = tmp_path / "table.json"
    columns = {name: frame[name].tolist() for name in frame}
    table.write_text(json.dumps(columns), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, str(folder), str(table)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = predict(model, frame, everything)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-6)
    assert answer["classes"] == [["a", "b", "c"]] * 50
    assert answer["predicted"] == [["a", "b", "c"][i] for i in expected.argmax(axis=1)]
    assert answer["version"] == [7] * 50


def test_the_served_signature_takes_raw_columns_by_name(
    written: tuple[keras.Model, Path],
) -> None:
    model, folder = written
    signature = signatures(folder)["serving_default"]
    types = {"float64": "DT_DOUBLE", "string": "DT_STRING", "bool": "DT_BOOL"}
    assert {name: tf.as_dtype(info.dtype).name for name, info in signature.inputs.items()} == {
        column.name: column.dtype for column in everything.columns
    }
    assert set(types) == {column.dtype for column in everything.columns}
    for info in signature.inputs.values():
        assert [dim.size for dim in info.tensor_shape.dim] == [-1]
    frame = rows(50)
    with SavedModelSession(folder) as session:
        answer = session.answer(frame)
    np.testing.assert_allclose(answer["scores"], predict(model, frame, everything), atol=1e-6)
    assert answer["scores"].dtype == np.float32


def test_signatures_bear_the_method_names_that_serving_looks_for(
    written: tuple[keras.Model, Path],
) -> None:
    found = signatures(written[1])
    assert {name: signature.method_name for name, signature in found.items()} == {
        "serving_default": "tensorflow/serving/predict",
        "classify": "tensorflow/serving/classify",
    }
    assert list(found["classify"].inputs) == ["inputs"]
    assert set(found["classify"].outputs) == {"classes", "scores"}


def test_examples_may_leave_columns_out(written: tuple[keras.Model, Path]) -> None:
    model, folder = written
    missing = {"float64": np.nan, "string": "", "bool": False}
    row = {column.name: missing[column.dtype] for column in everything.columns}
    frame = pd.DataFrame([row, {**row, "size": 0.5, "word": "grün", "flag": True}])
    frame = frame.astype({column.name: _PANDAS[column.dtype] for column in everything.columns})
    loaded = tf.saved_model.load(folder)
    examples = [example(), example(size=0.5, word="grün", flag=True)]
    answer = loaded.signatures["classify"](inputs=tf.constant(examples))
    expected = predict(model, frame, everything)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-6)
    assert answer["classes"].numpy().tolist() == [[b"a", b"b", b"c"]] * 2


_PANDAS = {"float64": "float64", "string": "str", "bool": "bool"}


def one_number(label: Label, *names: str) -> FeatureSet:
    return FeatureSet(
        columns=tuple(Column(name=name, dtype="float64") for name in names),
        label=label,
        features=tuple(NumericFeature(name=name, column=name) for name in names),
        rows={},
    )


def test_a_binary_model_also_regresses_to_the_positive_class(tmp_path: Path) -> None:
    label = Label(column="y", task="binary", classes=("no", "yes"))
    features = one_number(label, "x")
    model = end_to_end(features, tiny_core(features, 1))
    write_saved_model(model, features, tmp_path / "1", None)
    found = signatures(tmp_path / "1")
    assert set(found) == {"serving_default", "classify", "regress"}
    assert found["regress"].method_name == "tensorflow/serving/regress"
    loaded = tf.saved_model.load(tmp_path / "1")
    answer = loaded.signatures["regress"](inputs=tf.constant([example(x=0.5)]))
    frame = pd.DataFrame({"x": [0.5]})
    np.testing.assert_allclose(answer["outputs"], predict(model, frame, features)[:, 1], atol=1e-6)
    assert loaded.answer({"x": tf.constant([0.5], tf.float64)})["version"].numpy() == [0]


def test_a_regression_answers_values(tmp_path: Path) -> None:
    label = Label(column="y", task="regression", mean=100.0, scale=20.0)
    features = one_number(label, "x")
    model = end_to_end(features, tiny_core(features, 1))
    write_saved_model(model, features, tmp_path / "1", 1)
    found = signatures(tmp_path / "1")
    assert set(found) == {"serving_default", "regress"}
    assert set(found["serving_default"].outputs) == {"value", "version"}
    with SavedModelSession(tmp_path / "1") as session:
        answer = session.answer(pd.DataFrame({"x": [0.5, np.nan]}))
    frame = pd.DataFrame({"x": [0.5, np.nan]})
    np.testing.assert_allclose(answer["value"], predict(model, frame, features), rtol=1e-6)
    assert answer["value"].shape == (2,)


def test_columns_may_bear_any_name(tmp_path: Path) -> None:
    names = (
        "größe (cm)", "a b", "a_b", "A", "a", "self", "1st", "_x", "a/b", "it's", "column_1",
        "inputs", "x" * 300, "人", "\t",
    )  # fmt: skip
    features = one_number(Label(column="y", task="regression"), *names)
    model = end_to_end(features, tiny_core(features, 1))
    write_saved_model(model, features, tmp_path / "1", 1)
    frame = pd.DataFrame({name: [float(i), -1.0] for i, name in enumerate(names)})
    expected = predict(model, frame, features)
    with SavedModelSession(tmp_path / "1") as session:
        assert set(session.signatures["serving_default"].inputs) == set(names)
        np.testing.assert_allclose(session.answer(frame)["value"], expected, rtol=1e-5)
    raw = {name: tf.constant(frame[name].to_numpy()) for name in names}
    loaded = tf.saved_model.load(tmp_path / "1")
    np.testing.assert_allclose(loaded.answer(raw)["value"], expected, rtol=1e-5)


def test_every_weight_is_written_once(tmp_path: Path) -> None:
    features = one_number(Label(column="y", task="regression"), "x")
    dense = keras.Input((1,), name="dense")
    indices = keras.Input((0,), dtype="int32", name="indices")
    hidden = keras.layers.Dropout(0.5)(keras.layers.Dense(50_000, name="wide")(dense))
    core = keras.Model(
        {"dense": dense, "indices": indices}, keras.layers.Dense(1, name="out")(hidden)
    )
    model = end_to_end(features, core)
    write_saved_model(model, features, tmp_path / "1", 1)
    weights = sum(variable.value.numpy().nbytes for variable in model.variables)
    files = {path: path.stat().st_size for path in (tmp_path / "1").rglob("*") if path.is_file()}
    assert weights > 500_000
    assert files[tmp_path / "1/variables/variables.data-00000-of-00001"] < weights + 2_000
    assert sum(files.values()) < weights + 150_000
