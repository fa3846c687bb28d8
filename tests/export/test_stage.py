"""Export publishes what answers like the trained model, whole, once, and tells the server."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.core.artifacts import Artifacts
from pipeline.core.encoding import encode
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.model import load_model, predict_encoded
from pipeline.core.saved_model import write_saved_model
from pipeline.core.serving_config import read_serving_config
from pipeline.core.session import SavedModelSession
from pipeline.export.stage import run
from tests.core.feature_examples import everything, rows
from tests.exported import CONFIG, context, put_registered


def set_hash(project: Artifacts, model_hash: str) -> None:
    """Another model was trained."""
    project.training.write(dataclasses.replace(project.training.read(), model_hash=model_hash))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_version_folder_that_answers_like_the_trained_model(exported_once: Artifacts) -> None:
    folder = exported_once.serving / "shop" / "1"
    record = exported_once.export.read()
    assert (record.name, record.version, record.model_hash) == ("shop", 1, "model-0")
    assert record.rows_compared == 50
    assert 0 <= record.largest_difference <= 1e-5
    assert record.bytes == sum(len(content) for content in files(folder).values())
    test = rows(200, seed=3)
    expected = predict_encoded(load_model(exported_once.model), encode(test, everything))
    with SavedModelSession(folder) as session:
        answer = session.answer(test)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert set(answer["version"]) == {1}
    (model,) = read_serving_config(exported_once.serving_config)
    assert (model.name, model.versions, dict(model.labels)) == ("shop", (1,), {"champion": 1})
    assert Path(model.base_path) == (exported_once.serving / "shop").resolve()


def test_warm_up_requests_of_real_rows_for_every_signature(exported_once: Artifacts) -> None:
    path = exported_once.serving / "shop" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    one, many, classify = logs
    assert set(one.predict_log.request.inputs) == {column.name for column in everything.columns}
    words = tf.make_ndarray(many.predict_log.request.inputs["word"])
    expected = exported_once.split("test").read(["word"])["word"].head(1)
    assert words[0].decode() == expected[0]
    assert words.shape == (8,)
    assert len(classify.classify_log.request.input.example_list.examples) == 1


def test_the_same_version_again_changes_nothing(exported: Artifacts) -> None:
    before = files(exported.serving)
    exported.export.path.unlink()
    run(CONFIG, exported, context(exported.root))
    assert files(exported.serving) == before
    assert exported.export.read().version == 1


def test_another_model_never_takes_a_versions_place(exported: Artifacts) -> None:
    before = files(exported.serving)
    set_hash(exported, "model-1")
    registration = exported.registration.read()
    exported.registration.write(dataclasses.replace(registration, model_hash="model-1"))
    with pytest.raises(PipelineError, match="already holds another model"):
        run(CONFIG, exported, context(exported.root))
    assert files(exported.serving) == before


def test_a_damaged_version_is_found_out(exported: Artifacts) -> None:
    shutil.rmtree(exported.serving / "shop" / "1" / "variables")
    with pytest.raises(PipelineError, match="cannot answer"):
        run(CONFIG, exported, context(exported.root))


def test_a_version_that_answers_differently_is_refused(exported: Artifacts) -> None:
    folder = exported.serving / "shop" / "1"
    model = load_model(exported.model)
    model.core.set_weights([weight + 0.01 for weight in model.core.get_weights()])
    shutil.rmtree(folder / "variables")
    write_saved_model(model, everything, folder, 1)
    exported.export.path.unlink()
    with pytest.raises(PipelineError, match="of 50 rows are answered with a difference") as caught:
        run(CONFIG, exported, context(exported.root))
    assert "row:      size=" in caught.value.came
    assert "actual:   [0." in caught.value.came
    assert caught.value.expected.startswith("[0.")
    assert not exported.export.path.exists()


def test_a_refused_export_publishes_nothing(registered: Artifacts) -> None:
    model = load_model(registered.model)
    weights = [np.full_like(weight, np.nan) for weight in model.core.get_weights()]
    model.core.set_weights(weights)
    model.save(registered.model)
    with pytest.raises(PipelineError, match=r"50 of 50 rows .*the largest is nan"):
        run(CONFIG, registered, context(registered.root))
    assert list((registered.serving / "shop").iterdir()) == []
    assert not registered.serving_config.exists()
    assert not registered.export.path.exists()


def test_an_experiment_is_proved_and_not_published(registered: Artifacts) -> None:
    put_registered(registered, "shop", None)
    run(CONFIG, registered, context(registered.root, experiment="bold-idea"))
    record = registered.export.read()
    assert record.version is None
    assert record.rows_compared == 50
    assert not registered.serving.exists()


def test_old_versions_go_but_never_one_with_a_label(exported: Artifacts) -> None:
    for version in (2, 3):
        set_hash(exported, f"model-{version}")
        put_registered(exported, "shop", version, "challenger")
        run(CONFIG, exported, context(exported.root))
    there = sorted(path.name for path in (exported.serving / "shop").iterdir())
    assert there == ["1", "3"], "version 1 is the champion, 3 the challenger"
    (model,) = read_serving_config(exported.serving_config)
    assert dict(model.labels) == {"champion": 1, "challenger": 3}
    assert model.versions == (1, 3)


def test_a_registration_of_another_model_is_refused(registered: Artifacts) -> None:
    set_hash(registered, "model-9")
    with pytest.raises(PipelineError, match="model model-0 is registered, model-9 is trained"):
        run(CONFIG, registered, context(registered.root))


def test_no_test_rows_no_proof(registered: Artifacts) -> None:
    with registered.processed.publish() as folder:
        rows(0).to_parquet(folder / "test.parquet")
    registered.features.write(everything)
    with pytest.raises(DataError, match="the test split has no rows"):
        run(CONFIG, registered, context(registered.root))
