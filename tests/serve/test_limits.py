"""What a client may not do to a server: wait for ever, send for ever, keep its threads."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from tensorflow_serving.apis import prediction_service_pb2_grpc

from pipeline.core.session import SavedModelSession
from pipeline.serve.limits import LimitedSession
from pipeline.serve.server import Server
from tests.serve.in_process import request, rest, serving, until

PREDICT = b"POST /v1/models/half:predict HTTP/1.1\r\n"
ENDLESS = 1e6
"""The signature `slow` takes so many times as long as for 1."""


@pytest.fixture(scope="module")
def server(version_folders: Path) -> Iterator[Server]:
    """One thread for each protocol: whoever holds it holds up everybody."""
    with serving(
        version_folders,
        "--grpc_max_threads=1",
        "--rest_api_timeout_in_ms=1500",
        "--max_body_bytes=100000",
        "--grpc_max_message_bytes=100000",
    ) as started:
        yield started


@pytest.fixture(scope="module")
def stub(server: Server) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield prediction_service_pb2_grpc.PredictionServiceStub(channel)


def connected(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.rest_port or 0))
    connection.settimeout(60)
    return connection


def everything(connection: socket.socket) -> bytes:
    """What is sent until the connection is closed."""
    found = b""
    try:
        while part := connection.recv(10_000):
            found += part
    except ConnectionResetError:
        pass
    return found


def answers(server: Server) -> bool:
    body = {"instances": [0]}
    url = rest(server, "/v1/models/half:predict")
    return requests.post(url, json=body, timeout=60).json() == {"predictions": [2.0]}


def test_a_run_is_stopped_after_its_time_limit_and_its_thread_is_free(
    server: Server, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    stub.Predict(request(1, signature="slow"), timeout=60)  # is known to take long from here on
    for _ in range(2):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request(ENDLESS, signature="slow"), timeout=0.2)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Predict(request(0), timeout=60).outputs["y"].float_val == [2.0]
    body = {"inputs": [ENDLESS], "signature_name": "slow"}
    answer = requests.post(rest(server, "/v1/models/half:predict"), json=body, timeout=60)
    assert answer.status_code == 504
    until(lambda: answers(server))


def test_what_is_known_to_take_long_holds_up_nothing_that_is_quick(
    server: Server, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    stub.Predict(request(1, signature="slow"), timeout=60)
    endless = stub.Predict.future(request(ENDLESS, signature="slow"), timeout=2)
    assert stub.Predict(request(0), timeout=60).outputs["y"].float_val == [2.0]
    assert not endless.done()
    assert endless.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_deadline_that_has_passed_is_not_run(version_folders: Path) -> None:
    with SavedModelSession(version_folders / "1") as session:
        limited = LimitedSession(session)
        name = session.signatures["serving_default"].outputs["y"].name
        with pytest.raises(tf.errors.DeadlineExceededError):
            limited.run({"no_such_tensor:0": np.zeros(1)}, [name], time.monotonic() - 1)


def test_calls_without_a_message_keep_nobody_waiting(
    server: Server, stub: prediction_service_pb2_grpc.PredictionServiceStub
) -> None:
    """Twenty streams that never send what they announced."""
    ending = threading.Event()

    def silent() -> Iterator[bytes]:
        ending.wait(60)
        yield from ()

    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        method = channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
        calls = [method.future(silent()) for _ in range(20)]
        assert stub.Predict(request(0), timeout=60).outputs["y"].float_val == [2.0]
        ending.set()
        assert {call.code() for call in calls} == {grpc.StatusCode.UNIMPLEMENTED}


def test_a_message_that_is_too_large(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    with pytest.raises(grpc.RpcError, match="larger than max") as caught:
        stub.Predict(request(*[0.0] * 50_000), timeout=60)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_cancelled_call_leaves_the_server_as_it_was(
    stub: prediction_service_pb2_grpc.PredictionServiceStub,
) -> None:
    calls = [stub.Predict.future(request(1, signature="slow")) for _ in range(3)]
    for call in calls:
        call.cancel()
    assert stub.Predict(request(0), timeout=60).outputs["y"].float_val == [2.0]


def test_a_head_that_never_ends_is_cut_off(server: Server) -> None:
    with connected(server) as slow, connected(server) as silent, connected(server) as large:
        slow.sendall(PREDICT + b"X-Slow: ")
        large.sendall(PREDICT)
        with contextlib.suppress(OSError):  # it is cut off before the end
            for _ in range(100):
                large.sendall(b"X-Large: " + b"x" * 2000 + b"\r\n")
        assert answers(server)
        for drop in b"abc":
            slow.sendall(bytes([drop]))
        assert everything(slow).startswith(b"HTTP/1.1 408 ")
        assert everything(silent).startswith(b"HTTP/1.1 408 ")
        assert everything(large)[:13] in {b"HTTP/1.1 431 ", b""}
    assert answers(server)


def test_a_second_request_on_a_connection_has_its_own_clock(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET /v1/models/half HTTP/1.1\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /v1/models/half HTTP/1.1\r\nX-Slow: ")
        assert b"HTTP/1.1 408 " in everything(connection)


def test_a_body_that_stops_is_answered_in_the_end(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(PREDICT + b"Content-Length: 999\r\n\r\n{")
        assert b" 504 " in connection.recv(1000)
