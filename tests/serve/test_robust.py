"""What befalls a server: killed, starved of answers, its files changed under it."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from pipeline.core.server_process import Running, running
from tests.serve.models import break_model, copy_model


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def base(tmp_path: Path, version_folders: Path) -> Path:
    path = tmp_path / "half"
    path.mkdir()
    copy_model(version_folders / "1", path, 1)
    return path


@pytest.fixture
def server(base: Path) -> Iterator[Running]:
    flags = [
        f"--model_base_path={base}",
        "--model_name=half",
        "--file_system_poll_wait_seconds=0.1",
        "--max_body_bytes=10000",
        "--rest_api_timeout_in_ms=2000",
    ]
    with running(arguments=flags) as process:
        yield process


def answer(server: Running, signature: str = "serving_default", timeout: float = 60) -> object:
    body = {"instances": [0], "signature_name": signature}
    url = f"{server.rest_url}/v1/models/half:predict"
    return requests.post(url, json=body, timeout=timeout).json()


def states(server: Running) -> dict[str, str]:
    status = requests.get(f"{server.rest_url}/v1/models/half", timeout=60).json()
    return {one["version"]: one["state"] for one in status["model_version_status"]}


@pytest.mark.slow
def test_files_that_change_under_a_server(
    server: Running, base: Path, version_folders: Path
) -> None:
    """A version replaced in place, one half copied, one deleted, the base path gone for a while."""
    shutil.rmtree(base / "1")
    copy_model(version_folders / "2", base, 1)
    time.sleep(0.5)
    assert answer(server) == {"predictions": [1.0]}, "a version is loaded once"
    folder = copy_model(version_folders / "2", base, 2)
    until(lambda: answer(server) == {"predictions": [2.0]})
    break_model(copy_model(version_folders / "2", base, 3))
    until(lambda: states(server).get("3") == "END")
    assert answer(server) == {"predictions": [2.0]}
    shutil.rmtree(folder)
    shutil.rmtree(base / "3")
    until(lambda: states(server)["2"] == "END")
    assert answer(server) == {"predictions": [2.0]}, "version 1 as it is now"
    base.rename(base.with_name("gone"))
    time.sleep(0.5)
    assert answer(server) == {"predictions": [2.0]}
    base.with_name("gone").rename(base)
    copy_model(version_folders / "1", base, 4)
    until(lambda: answer(server) == {"predictions": [1.0]})
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
def test_killed_in_mid_swap_it_comes_back_with_what_is_there(
    base: Path, version_folders: Path
) -> None:
    flags = [
        f"--model_base_path={base}",
        "--model_name=half",
        "--file_system_poll_wait_seconds=0.05",
    ]
    with running(arguments=flags) as first:
        half = base / ".aside"
        shutil.copytree(version_folders / "2", half)
        (half / "saved_model.pb").write_bytes(b"")
        half.rename(base / "2")
        until(lambda: "2" in states(first))
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
    copy_model(version_folders / "1", base, 3)
    with running(arguments=flags) as second:
        assert answer(second) == {"predictions": [1.0]}
        assert states(second)["3"] == "AVAILABLE"


@pytest.mark.slow
def test_slow_clients_and_large_bodies_keep_nobody_waiting(server: Running) -> None:
    host, _, port = server.rest_url.rpartition("://")[2].rpartition(":")
    slow = [socket.create_connection((host, int(port))) for _ in range(50)]
    for connection in slow:
        connection.sendall(b"POST /v1/models/half:predict HTTP/1.1\r\nContent-Length: 999\r\n\r\n{")
    assert answer(server, timeout=10) == {"predictions": [1.0]}
    slow[0].settimeout(30)
    assert b" 504 " in slow[0].recv(100), "who does not send is answered in the end"
    for connection in slow:
        connection.close()
    for _ in range(20):
        body = b" " * 50_000
        response = requests.post(f"{server.rest_url}/v1/models/half:predict", body, timeout=10)
        assert response.status_code == 413
    assert answer(server) == {"predictions": [1.0]}


@pytest.mark.slow
def test_what_a_client_gave_up_is_not_waited_for(server: Running) -> None:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "half", "slow"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([1])))
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        calls = [stub.Predict.future(request, timeout=0.2) for _ in range(40)]
        assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        request.model_spec.signature_name = ""
        assert stub.Predict(request, timeout=60).outputs["y"].float_val == [1.5]


@pytest.mark.slow
def test_it_ends_with_the_process_that_started_it(base: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pipeline.core.server_process import running\n"
        "with running(arguments=sys.argv[1:]) as server:\n"
        "    print(server.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"--model_base_path={base}"],
        stdout=subprocess.PIPE,
        timeout=200,
        check=False,
    )
    pid = int(done.stdout)

    def ended() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        return state == "Z"

    until(ended)


@pytest.mark.slow
def test_memory_stays_bounded_over_a_mixed_load(server: Running) -> None:
    """Good and bad requests of both protocols: after warming up nothing piles up."""
    import psutil

    process = psutil.Process(server.process.pid)
    ending = threading.Event()

    def keep_asking(body: bytes) -> None:
        with requests.Session() as session:
            while not ending.is_set():
                session.post(f"{server.rest_url}/v1/models/half:predict", body, timeout=60)

    bodies = [b'{"instances": [1, 2]}', b'{"instances": [', b'{"instances": ["a"]}']
    threads = [threading.Thread(target=keep_asking, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    time.sleep(10)
    warm = process.memory_info().rss
    time.sleep(20)
    grown = process.memory_info().rss / warm - 1
    ending.set()
    for thread in threads:
        thread.join()
    assert grown < 0.02
