"""Export publishes what answers like the trained model, whole, once, and tells the server."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.core.artifacts import Artifacts
from pipeline.core.encoding import encode
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.model import load_model, predict_encoded
from pipeline.core.serving_config import read_serving_config
from pipeline.core.session import SavedModelSession
from pipeline.export.stage import run
from tests.core.feature_examples import everything, rows
from tests.export.conftest import CONFIG
from tests.exported import context, put_registered, put_trained


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_version_folder_that_answers_like_the_trained_model(project: Artifacts) -> None:
    run(CONFIG, project, context(project.root))
    folder = project.serving / "shop" / "1"
    record = project.export.read()
    assert (record.name, record.version, record.model_hash) == ("shop", 1, "model-0")
    assert record.rows_compared == 50
    assert 0 <= record.largest_difference <= 1e-5
    assert record.bytes == sum(len(content) for content in files(folder).values())
    test = rows(200, seed=3)
    expected = predict_encoded(load_model(project.model), encode(test, everything))
    with SavedModelSession(folder) as session:
        answer = session.answer(test)
    np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
    assert set(answer["version"]) == {1}
    (model,) = read_serving_config(project.serving_config)
    assert (model.name, model.versions, dict(model.labels)) == ("shop", (1,), {"champion": 1})
    assert Path(model.base_path) == (project.serving / "shop").resolve()


def test_warm_up_requests_of_real_rows_for_every_signature(project: Artifacts) -> None:
    run(CONFIG, project, context(project.root))
    path = project.serving / "shop" / "1" / "assets.extra" / "tf_serving_warmup_requests"
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    one, many, classify = logs
    assert set(one.predict_log.request.inputs) == {column.name for column in everything.columns}
    words = tf.make_ndarray(many.predict_log.request.inputs["word"])
    expected = project.split("test").read(["word"])["word"].head(1)
    assert words[0].decode() == expected[0]
    assert words.shape == (8,)
    assert len(classify.classify_log.request.input.example_list.examples) == 1


def test_the_same_version_again_changes_nothing(project: Artifacts) -> None:
    run(CONFIG, project, context(project.root))
    before = files(project.serving)
    project.export.path.unlink()
    run(CONFIG, project, context(project.root))
    assert files(project.serving) == before
    assert project.export.read().version == 1


def test_another_model_never_takes_a_versions_place(project: Artifacts) -> None:
    run(CONFIG, project, context(project.root))
    before = files(project.serving)
    put_trained(project.root, everything, rows(200), seed=1)
    registration = project.registration.read()
    project.registration.write(dataclasses.replace(registration, model_hash="model-1"))
    with pytest.raises(PipelineError, match="already holds another model"):
        run(CONFIG, project, context(project.root))
    assert files(project.serving) == before


def test_a_damaged_version_is_found_out(project: Artifacts) -> None:
    run(CONFIG, project, context(project.root))
    shutil.rmtree(project.serving / "shop" / "1" / "variables")
    with pytest.raises(PipelineError, match="cannot answer"):
        run(CONFIG, project, context(project.root))


def test_an_export_that_answers_differently_is_refused(
    project: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.export.stage as stage

    def write_shifted(model, features, folder, version):
        shifted = keras.models.clone_model(model.core)
        shifted.set_weights([weight + 0.01 for weight in model.core.get_weights()])
        write(type(model)(model.encoder, shifted), features, folder, version)

    write = stage.write_saved_model
    monkeypatch.setattr(stage, "write_saved_model", write_shifted)
    with pytest.raises(PipelineError, match="50 of 50 rows are answered with a difference") as e:
        run(CONFIG, project, context(project.root))
    assert "row:      size=" in e.value.came
    assert "actual:" in e.value.came
    assert e.value.expected.startswith("[")
    assert list((project.serving / "shop").iterdir()) == []
    assert not project.serving_config.exists()
    assert not project.export.path.exists()


def test_an_experiment_is_proved_and_not_published(tmp_path: Path) -> None:
    artifacts = put_trained(tmp_path, everything, rows(30))
    put_registered(artifacts, "shop", None)
    run(CONFIG, artifacts, context(tmp_path, experiment="bold-idea"))
    record = artifacts.export.read()
    assert record.version is None
    assert record.rows_compared == 30
    assert not artifacts.serving.exists()


def test_old_versions_go_but_never_one_with_a_label(project: Artifacts) -> None:
    run(CONFIG, project, context(project.root))
    for version in (2, 3, 4):
        put_trained(project.root, everything, rows(20), seed=version)
        put_registered(project, "shop", version, "challenger")
        run(CONFIG, project, context(project.root))
    there = sorted(path.name for path in (project.serving / "shop").iterdir())
    assert there == ["1", "4"], "version 1 is the champion, 4 the challenger"
    (model,) = read_serving_config(project.serving_config)
    assert dict(model.labels) == {"champion": 1, "challenger": 4}
    assert model.versions == (1, 4)


def test_a_registration_of_another_model_is_refused(project: Artifacts) -> None:
    put_trained(project.root, everything, rows(20), seed=9)
    with pytest.raises(PipelineError, match="model model-0 is registered, model-9 is trained"):
        run(CONFIG, project, context(project.root))


def test_no_test_rows_no_proof(project: Artifacts) -> None:
    with project.processed.publish() as folder:
        rows(0).to_parquet(folder / "test.parquet")
    project.features.write(everything)
    with pytest.raises(DataError, match="the test split has no rows"):
        run(CONFIG, project, context(project.root))
