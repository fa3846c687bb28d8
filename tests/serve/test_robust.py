"""What befalls a server: killed, starved of answers, its files changed under it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import grpc
import psutil
import pytest
import requests
from tensorflow_serving.apis import prediction_service_pb2_grpc

from pipeline.core.server_process import Running, running
from tests.serve.in_process import request, rest, serving, until
from tests.serve.models import break_model, copy_model


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
    shutil.copytree(version_folders / "2", base / "1", dirs_exist_ok=True)
    break_model(copy_model(version_folders / "2", base, 9))
    until(lambda: states(server).get("9") == "END")  # so it has looked since
    assert answer(server) == {"predictions": [1.0]}, "a version is loaded once"
    shutil.rmtree(base / "9")
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
    until(lambda: "the base path cannot be read" in server.log.read_text())
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
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        asked = request(1, signature="slow")
        calls = [stub.Predict.future(asked, timeout=0.2) for _ in range(40)]
        assert {call.code() for call in calls} == {grpc.StatusCode.DEADLINE_EXCEEDED}
        assert stub.Predict(request(1), timeout=60).outputs["y"].float_val == [1.5]


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


def copy_until_the_disk_is_full(source: Path, target: Path, file_bytes: int) -> None:
    """Copies in a process that may write so many bytes into one file, as on a full disk."""
    code = (
        "import resource, shutil, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)\n"
        "shutil.copytree(sys.argv[1], sys.argv[2])\n"
    )
    command = [sys.executable, "-c", code, str(source), str(target), str(file_bytes)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert b"File too large" in done.stderr


def test_a_version_for_which_the_disk_had_no_room(base: Path, version_folders: Path) -> None:
    """The old version goes on, the status tells, and with room again the new one takes over."""
    new = version_folders / "2"
    with serving(base, "--file_system_poll_wait_seconds=0.1") as server:
        url = rest(server, "/v1/models/half")

        def answer() -> list[float]:
            response = requests.post(f"{url}:predict", json={"instances": [0]}, timeout=60)
            return response.json()["predictions"]

        def status() -> dict[str, dict[str, str]]:
            found = requests.get(url, timeout=60).json()["model_version_status"]
            return {one["version"]: {"state": one["state"], **one["status"]} for one in found}

        room = (new / "saved_model.pb").stat().st_size // 2
        copy_until_the_disk_is_full(new, base / "2", room)
        until(lambda: status().get("2", {}).get("state") == "END")
        assert status()["2"]["error_code"] != "OK"
        assert str(base) not in status()["2"]["error_message"]
        assert answer() == [1.0]
        shutil.copytree(new, base / "2", dirs_exist_ok=True)
        until(lambda: answer() == [2.0])
        assert status()["2"]["state"] == "AVAILABLE"


@pytest.mark.slow
def test_a_full_disk_under_its_log_does_not_end_it(base: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        ports = []
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    command = [sys.executable, "-m", "pipeline.serve", f"--model_base_path={base}"]
    command += [f"--port={ports[0]}", f"--rest_api_port={ports[1]}"]

    def answers() -> bool:
        assert process.poll() is None
        try:
            return requests.get(f"http://127.0.0.1:{ports[1]}/v1/models/default", timeout=60).ok
        except requests.ConnectionError:
            return False

    with Path("/dev/full").open("wb") as full:
        process = subprocess.Popen(command, stdout=full, stderr=full)
    try:
        until(answers)
        break_model(copy_model(base / "1", base, 2))
        until(
            lambda: (
                answers()
                and b'"2"'
                in requests.get(
                    f"http://127.0.0.1:{ports[1]}/v1/models/default", timeout=60
                ).content
            )
        )
        assert answers()
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.slow
def test_many_connections_and_huge_bodies_take_bounded_memory(server: Running) -> None:
    """A hundred clients at a time send a hundred times what one body may have."""
    process = psutil.Process(server.process.pid)
    assert answer(server) == {"predictions": [1.0]}
    before = process.memory_info().rss
    host, _, port = server.rest_url.rpartition("://")[2].rpartition(":")
    head = b"POST /v1/models/half:predict HTTP/1.1\r\nContent-Length: 1000000000\r\n\r\n"

    def send() -> None:
        connection = socket.create_connection((host, int(port)))
        with connection, contextlib.suppress(OSError):  # it is hung up on
            connection.sendall(head + b" " * 1_000_000)
            connection.recv(100)

    with ThreadPoolExecutor(100) as pool:
        for future in [pool.submit(send) for _ in range(500)]:
            future.result()
    assert process.memory_info().rss - before < 100 * 2**20
    assert answer(server) == {"predictions": [1.0]}


MEMORY_SECONDS = float(os.environ.get("PIPELINE_MEMORY_SECONDS", "180"))
"""Of the mixed load; 1800 for the long proof."""


@pytest.mark.slow
@pytest.mark.timeout(MEMORY_SECONDS + 300)
def test_memory_stays_bounded_over_a_mixed_load(server: Running) -> None:
    """Good and bad requests of both protocols: after warming up nothing piles up."""
    process = psutil.Process(server.process.pid)
    ending = threading.Event()
    url = f"{server.rest_url}/v1/models/half:predict"

    def over_rest(body: bytes) -> None:
        with requests.Session() as session:
            while not ending.is_set():
                session.post(url, body, timeout=60)

    def over_grpc(*values: float) -> None:
        with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not ending.is_set():
                with contextlib.suppress(grpc.RpcError):
                    stub.Predict(request(*values), timeout=60)
                with contextlib.suppress(grpc.RpcError):
                    stub.Predict(request(*values, signature="nobody"), timeout=60)

    loads = [
        partial(over_rest, body)
        for body in (b'{"instances": [1, 2]}', b'{"instances": [', b'{"instances": ["a"]}')
    ]
    loads += [partial(over_grpc, 1.0), partial(over_grpc, *range(1000))]
    threads = [threading.Thread(target=load) for load in loads]
    for thread in threads:
        thread.start()
    try:
        ending.wait(MEMORY_SECONDS / 3)
        warm = process.memory_info().rss
        ending.wait(2 * MEMORY_SECONDS / 3)
        grown = process.memory_info().rss / warm - 1
    finally:
        ending.set()
        for thread in threads:
            thread.join()
    assert grown < 0.02
