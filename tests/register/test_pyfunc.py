"""The registered model in MLflow's hands: a fresh process, raw tables, the served answers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import metadata

import mlflow
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from pipeline.core.model import load_model, predict
from pipeline.core.saved_model import write_saved_model
from pipeline.core.tracking import open_registry
from pipeline.register.package import package
from tests.core.feature_examples import COLUMNS, everything, rows
from tests.register.conftest import NAME
from tests.stores import TRACKING

FRESH = """
import sys
for name in ("pipeline", "keras"):
    sys.modules[name] = None  # an import of it fails, also from inside the model
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
pd.DataFrame(model.predict(pd.read_parquet(sys.argv[2]))).to_parquet(sys.argv[3])
"""


@pytest.fixture(scope="module")
def packed(registered_once):
    """The registered model as MLflow loads it, here."""
    known = open_registry(registered_once.root, TRACKING)
    folder = known.saved_model(known.champion(NAME)).parent.parent
    return mlflow.pyfunc.load_model(str(folder))


def test_a_fresh_process_without_the_project_answers_as_served(registered_once, tmp_path):
    raw = rows(300, seed=9).assign(unrelated=1)
    raw.to_parquet(tmp_path / "raw.parquet")
    command = [f"models:/{NAME}@champion", tmp_path / "raw.parquet", tmp_path / "out.parquet"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FRESH, *map(str, command)],
        cwd=registered_once.root,  # MLflow's own default store is the one of this folder
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = pd.read_parquet(tmp_path / "out.parquet")
    expected = served(registered_once, raw)
    assert list(answers.columns) == ["score_a", "score_b", "score_c", "predicted"]
    scores = answers[["score_a", "score_b", "score_c"]].to_numpy()
    np.testing.assert_array_equal(scores, expected["scores"])
    assert answers["predicted"].tolist() == [word.decode() for word in expected["predicted"]]
    model = load_model(registered_once.artifacts.model)
    np.testing.assert_allclose(scores, predict(model, raw, everything), atol=1e-6)


def served(registered_once, raw):
    """What the SavedModel's signature answers, asked directly."""
    known = open_registry(registered_once.root, TRACKING)
    loaded = tf.saved_model.load(str(known.saved_model(known.champion(NAME))))
    answer = loaded.signatures["serving_default"]
    plain = [spec.name for spec in answer.structured_input_signature[1].values()]
    by_graph_name = {
        column.name if column.name in plain else f"column_{position}": raw[column.name]
        for position, column in enumerate(COLUMNS)
    }
    tensors = {
        name: tf.constant(values.to_numpy(dtype=object if values.dtype == "str" else None))
        for name, values in by_graph_name.items()
    }
    return {key: one.numpy() for key, one in answer(**tensors).items()}


def test_raw_tables_may_come_in_other_dtypes(packed):
    frame = rows(50, seed=3).assign(size=range(50), word=[str(i % 3) for i in range(50)])
    frame["maybe"] = frame["maybe"].fillna(0.0)
    frame["when"] = pd.date_range("2020-02-28", periods=50, freq="7h").strftime("%FT%T")
    other = frame.assign(
        size=frame["size"].astype("int64"),
        word=frame["word"].astype("int64"),
        when=pd.to_datetime(frame["when"]),
        maybe=frame["maybe"].astype("int32"),
        flag=frame["flag"].astype("object"),
        **{"a/b": frame["a/b"].astype("category")},
    )
    pd.testing.assert_frame_equal(packed.predict(other), packed.predict(frame))


def test_missing_values_may_come_in_every_form(packed):
    frame = rows(6, seed=4).assign(word="", maybe=np.nan)
    other = frame.assign(
        word=pd.Series([None, np.nan, pd.NA, None, "", None], dtype="object"),
        maybe=pd.array([None] * 6, dtype="Int64"),
    )
    pd.testing.assert_frame_equal(packed.predict(other), packed.predict(frame))


def test_the_index_stays_and_no_rows_give_no_answers(packed):
    frame = rows(5)
    shuffled = frame.sample(frac=1, random_state=1)
    answers = packed.predict(shuffled)
    assert answers.index.tolist() == shuffled.index.tolist()
    pd.testing.assert_frame_equal(answers.sort_index(), packed.predict(frame))
    assert packed.predict(frame.iloc[:0]).shape == (0, 4)


def test_many_rows_are_answered_in_batches(packed):
    frame = rows(4096 + 7)
    answers = packed.predict(frame)
    pd.testing.assert_frame_equal(answers.tail(7), packed.predict(frame.tail(7)), atol=1e-6)
    unchecked = packed.unwrap_python_model().predict(None, frame)
    pd.testing.assert_frame_equal(answers, unchecked)


def test_a_missing_column_is_named(packed):
    with pytest.raises(mlflow.MlflowException, match=r"missing inputs \['word'\]"):
        packed.predict(rows(3).drop(columns="word"))


def test_the_signature_names_columns_and_answers(packed):
    signature = packed.metadata.signature
    assert signature.inputs.input_names() == [column.name for column in COLUMNS]
    assert signature.outputs.input_names() == ["score_a", "score_b", "score_c", "predicted"]
    assert packed.metadata.metadata["columns"]["flag"] == "bool"
    assert packed.metadata.saved_input_example_info is not None
    example = packed.input_example
    assert list(example.columns) == [column.name for column in COLUMNS]
    assert len(packed.predict(example)) == 5


def test_the_requirements_are_few_and_exact(registered_once):
    known = open_registry(registered_once.root, TRACKING)
    folder = known.saved_model(known.champion(NAME)).parent.parent
    lines = (folder / "requirements.txt").read_text().split()
    assert lines == [
        f"{name}=={metadata.version(name)}"
        for name in ("mlflow", "numpy", "pandas", "pydantic", "tensorflow")
    ]


def test_two_models_in_one_process_keep_apart(packed, regression_once, tmp_path):
    from pipeline.core.artifacts import Artifacts

    artifacts = Artifacts(regression_once)
    features = artifacts.features.read()
    model = load_model(artifacts.model)
    saved_model = tmp_path / "saved_model"
    write_saved_model(model, features, saved_model, None)
    folder = package(saved_model, features, rows(3), tmp_path / "work")
    moved = shutil.move(folder, tmp_path / "elsewhere")
    value = mlflow.pyfunc.load_model(str(moved))
    frame = rows(20)
    answers = value.predict(frame)
    assert list(answers.columns) == ["value"]
    np.testing.assert_allclose(answers["value"], predict(model, frame, features), rtol=1e-5)
    assert list(packed.predict(frame).columns)[-1] == "predicted"
