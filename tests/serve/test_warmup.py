"""Warm-up requests are replayed at load, and a model that cannot answer its own is not served."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from pipeline.core.artifacts import Artifacts
from pipeline.serve.models import Model
from pipeline.serve.options import Options
from pipeline.serve.servable import Servable
from pipeline.serve.server import Server
from pipeline.serve.status import Code, ServingError
from pipeline.serve.warmup import WARMUP_FILE, warm_up


def put_requests(folder: Path, *logs: prediction_log_pb2.PredictionLog) -> None:
    path = folder / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def unknown_signature() -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "half"
    log.predict_log.request.model_spec.signature_name = "no"
    return log


@pytest.fixture
def folder(version_folders: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(version_folders / "1", tmp_path / "half" / "1"))


def test_what_export_wrote_is_answered(exported_once: Artifacts) -> None:
    path = exported_once.serving / "shop" / "1"
    servable = Servable("shop", 1, path)
    assert warm_up(servable, path) == 3
    servable.close()


def test_no_requests_is_no_matter(folder: Path) -> None:
    servable = Servable("half", 1, folder)
    assert warm_up(servable, folder) == 0
    put_requests(folder)
    assert warm_up(servable, folder) == 0
    servable.close()


def test_damaged_and_unsupported_requests(folder: Path) -> None:
    servable = Servable("half", 1, folder)
    log = prediction_log_pb2.PredictionLog()
    log.session_run_log.SetInParent()
    put_requests(folder, log)
    with pytest.raises(ServingError, match="Unsupported log_type for warmup") as caught:
        warm_up(servable, folder)
    assert caught.value.code is Code.UNIMPLEMENTED
    put_requests(folder, *[prediction_log_pb2.PredictionLog()] * 1001)
    with pytest.raises(ServingError, match=r"exceeds the maximum \(1000\)"):
        warm_up(servable, folder)
    (folder / WARMUP_FILE).write_bytes(b"no TFRecord at all, whatever it is called")
    with pytest.raises(ServingError, match="Please verify your warmup data") as caught:
        warm_up(servable, folder)
    assert caught.value.code is Code.DATA_LOSS
    servable.close()


@pytest.mark.parametrize("on", [True, False])
def test_a_refused_request_fails_the_load_unless_warm_up_is_off(folder: Path, on: bool) -> None:
    put_requests(folder, unknown_signature())
    models = (Model("half", folder.parent),)
    server = Server(Options(models, grpc_port=None, rest_port=None, poll_seconds=0, warm_up=on))
    if on:
        with pytest.raises(Exception, match='Serving signature key "no" not found'):
            server.start()
    else:
        server.start()
        assert server.manager.available() == {"half": [1]}
    server.stop()
