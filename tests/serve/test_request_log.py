"""The request log: what was asked, whatever the protocol; never in the way of an answer."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import tensorflow as tf

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError, DataError, PipelineError, UsageError
from pipeline.core.server_process import running
from pipeline.runner.data_requests import request_rows
from pipeline.serve.client import predict_frame
from pipeline.serve.flags import parse_flags
from pipeline.serve.request_log import RequestLog, RequestLogOptions
from pipeline.serve.stage import serve
from tests.core.feature_examples import COLUMNS, rows
from tests.serve.test_stage import settings


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def numbers(count: int, value: float = 1.0) -> dict[str, Any]:
    return {"x": np.full(count, value)}


def eventually(holds: Callable[[], bool]) -> None:
    """Waits for the thread that writes, ten seconds at most."""
    for _ in range(1000):
        if holds():
            return
        time.sleep(0.01)
    pytest.fail("nothing was written")


def test_inputs_are_written_as_json_has_them(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "log.jsonl"
    log = RequestLog(RequestLogOptions(path, omit=frozenset({"email"})))
    inputs = {
        "size": np.array([1.5, np.nan, np.inf]),
        "word": np.array(["é".encode(), b"\xff", b""], object),
        "flag": np.array([True, False, True]),
        "email": np.array([b"a@example.org"] * 3, object),
    }
    log.record("shop", 3, inputs)
    log.close()
    (record,) = lines(path)
    assert (record["model"], record["version"]) == ("shop", 3)
    assert record["request"]["inputs"] == {
        "size": [1.5, None, None],
        "word": ["é", "\ufffd", ""],
        "flag": [True, False, True],
    }
    assert b"example.org" not in path.read_bytes()


def test_examples_are_written_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    log = RequestLog(RequestLogOptions(path, omit=frozenset({"email"})))
    full = tf.train.Example()
    full.features.feature["size"].float_list.value.append(float("nan"))
    full.features.feature["word"].bytes_list.value.append("é".encode())
    full.features.feature["pair"].int64_list.value.extend([1, 2])
    full.features.feature["email"].bytes_list.value.append(b"a@example.org")
    full.features.feature["none"].float_list.value.extend([])
    log.record("shop", 3, [full.SerializeToString(), b""])
    log.close()
    (record,) = lines(path)
    row = {"pair": [1, 2], "size": None, "word": "é"}
    assert record["request"] == {"instances": [row, {}]}
    assert b"example.org" not in path.read_bytes()
    found = request_rows(str(path), "shop")
    assert found is not None
    assert found["word"].tolist()[0] == "é"
    assert len(found) == 2


def test_a_share_is_written(tmp_path: Path) -> None:
    log = RequestLog(RequestLogOptions(tmp_path / "log.jsonl", sampling=0.25))
    for _ in range(2000):
        log.record("m", 1, numbers(1))
    log.close()
    assert 400 < len(lines(tmp_path / "log.jsonl")) < 600
    assert log.dropped == 0


def test_full_files_make_room(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    for value in range(10):
        log = RequestLog(RequestLogOptions(path, max_bytes=1, files=3))
        log.record("m", 1, numbers(1, value))
        log.close()
    names = [path, path.with_suffix(".1.jsonl"), path.with_suffix(".2.jsonl")]
    assert sorted(tmp_path.iterdir()) == sorted(names)
    kept = [lines(name)[0]["request"]["inputs"]["x"] for name in names]
    assert kept == [[9.0], [8.0], [7.0]]


def test_a_folder_that_is_deleted_is_made_again(tmp_path: Path) -> None:
    path = tmp_path / "requests" / "of today" / "log.jsonl"
    log = RequestLog(RequestLogOptions(path))
    for value in range(3):
        log.record("m", 1, numbers(1, value))
        eventually(lambda: path.exists() and path.stat().st_size > 0)
        assert [line["request"]["inputs"]["x"] for line in lines(path)] == [[float(value)]]
        shutil.rmtree(tmp_path / "requests")
    log.close()
    assert log.dropped == 0


def test_a_slow_disk_costs_lines_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, go_on = threading.Event(), threading.Event()
    write = RequestLog._write

    def slow(self: RequestLog, text: list[str]) -> None:
        written.set()
        go_on.wait()
        write(self, text)

    monkeypatch.setattr(RequestLog, "_write", slow)
    log = RequestLog(RequestLogOptions(tmp_path / "log.jsonl"))
    log.record("m", 1, numbers(1))
    written.wait()
    for _ in range(12):
        log.record("m", 1, numbers(100_000))
    assert log.dropped == 2, "a million values wait, and no more"
    go_on.set()
    log.close()
    assert len(lines(tmp_path / "log.jsonl")) == 11


def test_a_disk_that_fails_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(self: RequestLog, text: list[str]) -> None:
        raise OSError(28, "No space left on device")

    log = RequestLog(RequestLogOptions(tmp_path / "log.jsonl"))
    monkeypatch.setattr(RequestLog, "_write", full)
    for _ in range(3):
        log.record("m", 1, numbers(1))
    log.close()
    assert log.dropped == 3
    assert caplog.text.count("No space left on device") == 1


def test_a_file_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="cannot be written"):
        RequestLog(RequestLogOptions(tmp_path / "file" / "log.jsonl"))


@pytest.mark.parametrize(
    "flag", ["--request_log=a.txt", "--request_log_sampling=0", "--request_log_files=0"]
)
def test_wrong_flags(flag: str) -> None:
    arguments = ["--model_base_path=/x", "--request_log=a.jsonl", flag]
    with pytest.raises(UsageError, match="do not fit"):
        parse_flags(arguments)


def test_the_real_server_keeps_no_such_log(exported_once: Artifacts) -> None:
    wanted = {"file": "log.jsonl", "sampling": 1.0, "max_bytes": 1, "files": 1, "omit": []}
    config = settings(backend="docker", request_log=wanted)
    with pytest.raises(ConfigError, match=r"serve\.request_log\.file is set"):
        serve(config, exported_once)


def test_a_server_writes_what_it_is_asked_by_both_protocols(
    exported_once: Artifacts, tmp_path: Path
) -> None:
    path = tmp_path / "log.jsonl"
    flags = [f"--request_log={path}", "--request_log_omit=a/b"]
    asked = rows(5)
    with running(exported_once.serving_config, flags) as server:
        predict_frame(server.grpc_url, "shop", asked, columns=COLUMNS)
        predict_frame(server.rest_url, "shop", asked, columns=COLUMNS)
        refused = requests.post(
            f"{server.rest_url}/v1/models/shop:predict", json={"instances": [{}]}, timeout=30
        )
        assert refused.status_code == 400
        body = {
            "signature_name": "classify",
            "examples": [{"word": "logged", "a/b": "kept to itself"}],
        }
        for verb, status in (("classify", 200), ("regress", 400)):
            answer = requests.post(
                f"{server.rest_url}/v1/models/shop:{verb}", json=body, timeout=30
            )
            assert answer.status_code == status, answer.text
    # Warm-up requests and those that do not fit the signature are not there.
    assert [record["model"] for record in lines(path)] == ["shop"] * 3
    assert lines(path)[-1]["request"] == {"instances": [{"word": "logged"}]}
    found = request_rows(str(path), "shop")
    assert found is not None
    assert "a/b" not in found
    assert len(found) == 11
    assert found["word"].tolist() == [*asked["word"].tolist() * 2, "logged"]
    np.testing.assert_array_equal(found["size"].head(5), asked["size"])
    with pytest.raises(DataError, match="these requests are of: shop"):
        request_rows(str(path), "another")
