"""What an operator switches on: batching, Prometheus, TLS, health, sockets, limits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest
import requests
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    model_management_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from pipeline.core.errors import ConfigError, UsageError
from pipeline.serve.flags import parse_flags
from pipeline.serve.server import Server
from pipeline.serve.tls import read_tls
from tests.serve.certificates import Authority
from tests.serve.in_process import request, rest, serving


@pytest.fixture(scope="module")
def server(version_folders: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("flags")
    (folder / "batching").write_text(
        "max_batch_size { value: 16 } batch_timeout_micros { value: 2000 }"
        " max_enqueued_batches { value: 100 }"
    )
    (folder / "monitoring").write_text('prometheus_config { enable: true path: "/numbers" }')
    with serving(
        version_folders,
        "--enable_batching",
        f"--batching_parameters_file={folder / 'batching'}",
        f"--monitoring_config_file={folder / 'monitoring'}",
        f"--grpc_socket_path={folder / 'grpc.sock'}",
        "--grpc_channel_arguments=grpc.max_connection_age_ms=200000,grpc.lb_policy_name=grpclb",
        "--enable_serialization_as_tensor_content",
        "--enable_signature_method_name_check",
        "--max_body_bytes=100000",
        "--rest_api_enable_cors_support",
    ) as started:
        yield started


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as opened:
        yield opened


def test_callers_of_a_batch_get_their_own_answers(server: Server, channel: grpc.Channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    url = rest(server, "/v1/models/half:predict")

    def over_grpc(number: int) -> float:
        answer = stub.Predict(request(number), timeout=60)
        return float(tf.make_ndarray(answer.outputs["y"])[0])

    def over_rest(number: int) -> float:
        answer = requests.post(url, json={"instances": [number]}, timeout=60)
        return float(answer.json()["predictions"][0])

    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit((over_grpc, over_rest)[i % 2], i) for i in range(200)]
        assert [future.result() for future in futures] == [i / 2 + 2 for i in range(200)]


def test_more_rows_than_a_batch_may_have(server: Server, channel: grpc.Channel) -> None:
    words = "Task size 17 is larger than maximum input batch size 16"
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    with pytest.raises(grpc.RpcError, match=words) as caught:
        stub.Predict(request(*range(17)), timeout=60)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    answer = requests.post(
        rest(server, "/v1/models/half:predict"), json={"instances": [0] * 17}, timeout=60
    )
    assert (answer.status_code, answer.json()["error"]) == (400, words)


def test_answers_in_tensor_content(channel: grpc.Channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    answer = stub.Predict(request(1, 2), timeout=60).outputs["y"]
    assert answer.tensor_content == np.float32([2.5, 3]).tobytes()
    assert not answer.float_val


def test_signatures_are_held_to_their_method(server: Server) -> None:
    body = {"signature_name": "regress", "examples": [{"x": 1.0}]}
    answer = requests.post(rest(server, "/v1/models/half:regress"), json=body, timeout=60)
    assert answer.status_code == 400
    assert answer.json()["error"] == (
        "Expected regression signature method_name to be tensorflow/serving/regress. "
        "Was: tensorflow/serving/predict"
    )


def test_a_unix_socket(server: Server) -> None:
    with grpc.insecure_channel(f"unix:{server.options.grpc.socket}") as opened:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(opened)
        assert tf.make_ndarray(stub.Predict(request(4), timeout=60).outputs["y"]) == [4.0]


def test_health(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "PredictionService", "ModelService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=60)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_the_prometheus_page_counts(server: Server, channel: grpc.Channel) -> None:
    def numbers() -> dict[str, float]:
        page = requests.get(rest(server, "/numbers"), timeout=60)
        assert page.headers["content-type"] == "text/plain"
        lines = [line.rpartition(" ") for line in page.text.splitlines() if line[0] != "#"]
        return {name: float(value) for name, _, value in lines}

    before = numbers()
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    stub.Predict(request(1), timeout=60)
    stub.Predict(request(1), timeout=60)
    requests.post(rest(server, "/v1/models/half:predict"), json={"instances": [1, 2]}, timeout=60)
    requests.get(rest(server, "/v1/models/nobody"), timeout=60)
    after = numbers()
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    ours = ":tensorflow:serving:"
    assert grown[f'{ours}request_count{{model_name="half",status="OK"}}'] == 3
    assert grown[f'{ours}request_count{{model_name="nobody",status="NOT_FOUND"}}'] == 1
    assert (
        grown[f'{ours}runtime_latency_count{{model_name="half",API="Predict",runtime="TF1"}}'] == 3
    )
    latency = (
        f'{ours}request_latency_bucket{{model_name="half",API="%s",entrypoint="%s",le="+Inf"}}'
    )
    assert grown[latency % ("Predict", "GRPC")] == 2
    assert grown[latency % ("predict", "REST")] == 1
    assert after["process_resident_memory_bytes"] > 1e6
    assert requests.get(rest(server, "/numbers/"), timeout=60).status_code == 404


def test_a_reload_tells_how_counters_grew(server: Server, channel: grpc.Channel) -> None:
    asked = model_management_pb2.ReloadConfigRequest()
    one = asked.config.model_config_list.config.add(name="half", model_platform="tensorflow")
    one.base_path = str(server.options.models[0].base_path)
    asked.metric_names.append("/tensorflow/serving/request_count")
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    answer = stub.HandleReloadConfigRequest(asked, timeout=60)
    (metric,) = answer.metric
    assert (metric.name, metric.int64_value_increase) == (asked.metric_names[0], 0)


def test_packed_bodies(server: Server) -> None:
    url = rest(server, "/v1/models/half:predict")

    def post(body: bytes) -> requests.Response:
        return requests.post(url, body, headers={"Content-Encoding": "gzip"}, timeout=60)

    body = json.dumps({"instances": [1]}).encode()
    assert post(gzip.compress(body)).json() == {"predictions": [2.5]}
    for broken in (body, gzip.compress(body)[:-9]):
        assert post(broken).json() == {"error": "JSON Parse error: The document is empty"}
    assert post(gzip.compress(b" " * 100_001)).status_code == 413
    page = requests.get(rest(server, "/numbers"), timeout=60).text
    assert 'status="INTERNAL"' not in page, "a client's mistake is none of the server's"


def test_cors_headers(server: Server) -> None:
    answer = requests.get(rest(server, "/v1/models/half"), timeout=60)
    assert answer.headers["access-control-allow-origin"] == "*"


def ssl_file(path: Path, authority: Authority, *, verify: bool) -> Path:
    pair = authority.pair("server")
    values = {"server_key": pair.key, "server_cert": pair.certificate}
    values |= {"custom_ca": authority.certificate}
    lines = [f"{name}: {json.dumps(value)}" for name, value in values.items()]
    path.write_text("\n".join([*lines, f"client_verify: {str(verify).lower()}"]))
    return path


def test_tls_with_client_certificates(version_folders: Path, tmp_path: Path) -> None:
    authority, stranger = Authority("authority"), Authority("stranger")
    file = ssl_file(tmp_path / "ssl", authority, verify=True)
    trusted = tmp_path / "authority.pem"
    trusted.write_text(authority.certificate)
    with serving(version_folders, f"--ssl_config_file={file}") as server:
        assert authority.pair("x").key not in repr(server.options)
        url = f"https://127.0.0.1:{server.rest_port}/v1/models/half:predict"

        def over_rest(client: Authority | None) -> list[float]:
            cert = None
            if client:
                pair = client.pair("client")
                path = tmp_path / "client.pem"
                path.write_text(pair.key + pair.certificate)
                cert = str(path)
            body = {"instances": [0]}
            answer = requests.post(url, json=body, cert=cert, verify=str(trusted), timeout=60)
            return answer.json()["predictions"]

        def over_grpc(client: Authority | None) -> list[float]:
            pair = client.pair("client") if client else None
            credentials = grpc.ssl_channel_credentials(
                authority.certificate.encode(),
                pair and pair.key.encode(),
                pair and pair.certificate.encode(),
            )
            address = f"127.0.0.1:{server.grpc_port}"
            with grpc.secure_channel(address, credentials) as opened:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(opened)
                return list(stub.Predict(request(0), timeout=60).outputs["y"].float_val)

        assert over_rest(authority) == over_grpc(authority) == [2.0]
        for client in (None, stranger):
            with pytest.raises(requests.ConnectionError):
                over_rest(client)
            with pytest.raises(grpc.RpcError):
                over_grpc(client)
        with pytest.raises(requests.ConnectionError):
            requests.get(url.replace("https", "http"), timeout=60)


def test_key_and_certificate_belong_together(tmp_path: Path) -> None:
    path = ssl_file(tmp_path / "ssl", Authority("a"), verify=False)
    assert not read_tls(path).verify_clients
    key = Authority("b").pair("x").key
    path.write_text(
        f"{path.read_text()}\nserver_key: {json.dumps(key)}".replace(
            path.read_text().splitlines()[0], ""
        )
    )
    with pytest.raises(ConfigError, match="key and certificates cannot be used") as caught:
        read_tls(path)
    assert "PRIVATE" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--batching_parameters_file=x"], "without --enable_batching"),
        (["--port=8501", "--rest_api_port=8501"], "are both 8501"),
        (
            ["--tensorflow_session_parallelism=1", "--tensorflow_intra_op_parallelism=1"],
            "beside the two numbers",
        ),
        (["--grpc_channel_arguments=grpc.x"], "is not NAME=VALUE"),
    ],
)
def test_flags_that_contradict_each_other(flags: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_flags(["--model_base_path=/x", *flags])


def test_session_flags(version_folders: Path, tmp_path: Path) -> None:
    config = tmp_path / "session"
    config.write_text("allow_soft_placement: true")
    with serving(
        version_folders,
        f"--tensorflow_session_config_file={config}",
        "--tensorflow_intra_op_parallelism=2",
        "--tensorflow_inter_op_parallelism=1",
        "--saved_model_tags=serve",
        "--num_request_iterations_for_warmup=2",
        "--enable_batching",
        "--enable_per_model_batching_parameters",
        "--rest_api_timeout_in_ms=0",
    ) as server:
        answer = requests.post(
            rest(server, "/v1/models/half:predict"), json={"instances": [0] * 2000}, timeout=60
        )
        assert answer.json() == {"predictions": [2.0] * 2000}, "no parameters, so no batches"
    config.write_text("allow_soft_placemen: true")
    with pytest.raises(ConfigError, match=r"Error parsing text-format tensorflow\.ConfigProto"):
        Server(parse_flags(["--model_base_path=/x", f"--tensorflow_session_config_file={config}"]))
