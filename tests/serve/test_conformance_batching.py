"""Batching and held methods as a client sees them: what TensorFlow Serving's own tests hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from tests.serve.conformance import Conformance, asked, conforming, refused

INVALID = "INVALID_ARGUMENT"
TOO_MANY = "Task size 5 is larger than maximum input batch size 4"


@pytest.fixture(scope="module")
def batching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conformance]:
    """Batches of up to 4 rows that wait for nobody; signatures are held to their methods."""
    folder = tmp_path_factory.mktemp("batching")
    parameters = folder / "batching.config"
    parameters.write_text(
        "max_batch_size { value: 4 } allowed_batch_sizes: 2 allowed_batch_sizes: 4"
    )
    flags = ("--enable_batching", f"--batching_parameters_file={parameters}")
    with conforming(folder / "models", *flags, "--enable_signature_method_name_check") as one:
        yield one


def test_rows_of_many_callers(batching: Conformance) -> None:
    def ask(number: int) -> None:
        rows = np.arange(number % 4 + 1, dtype=np.int64) + number
        answer = batching.predictions.Predict(asked("kinds", "int64", x=rows), timeout=60)
        assert list(answer.outputs["y"].int64_val) == rows.tolist()
        body = json.dumps({"signature_name": "int64", "instances": rows.tolist()})
        assert json.loads(batching.post(body)[1]) == {"predictions": rows.tolist()}

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(64)))


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (asked("kinds", "int64", x=np.int64([1] * 5)), TOO_MANY),
        (
            asked("kinds", "int64", x=np.int64(1)),
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            asked("kinds", "adds", a=np.float32([1, 2]), b=np.float32([1])),
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            asked("kinds", "int64", x=np.int32([1])),
            "Expects arg[0] to be int64 but int32 is provided",
        ),
    ],
)
def test_what_fits_no_batch(batching: Conformance, made: object, words: str) -> None:
    assert refused(batching.predictions.Predict, made) == (INVALID, words)


def test_some_of_the_outputs_are_batched_as_well(batching: Conformance) -> None:
    made = asked("kinds", "two", number=np.int32([1] * 5), word=np.array([b"a"] * 5))
    made.output_filter.append("number")
    assert refused(batching.predictions.Predict, made) == (INVALID, TOO_MANY)


def test_over_rest(batching: Conformance) -> None:
    status, answer = batching.post('{"signature_name": "int64", "instances": [1, 2, 3, 4, 5]}')
    assert (status, json.loads(answer)) == (400, {"error": TOO_MANY})
    body = '{"signature_name": "both", "examples": [{}, {}, {}, {}, {}]}'
    status, answer = batching.post(body, verb="classify")
    assert (status, json.loads(answer)) == (400, {"error": TOO_MANY})


@pytest.mark.parametrize(
    ("verb", "signature", "status", "words"),
    [
        ("classify", "both", 200, None),
        ("regress", "values", 200, None),
        (
            "classify",
            "values",
            400,
            (
                "Expected classification signature method_name to be tensorflow/serving/classify. "
                "Was: tensorflow/serving/regress"
            ),
        ),
        (
            "regress",
            "int64",
            400,
            (
                "Expected regression signature method_name to be tensorflow/serving/regress. "
                "Was: tensorflow/serving/predict"
            ),
        ),
    ],
)
def test_signatures_are_held_to_their_method(
    batching: Conformance, verb: str, signature: str, status: int, words: str | None
) -> None:
    body = f'{{"signature_name": "{signature}", "examples": [{{}}]}}'
    found, answer = batching.post(body, verb=verb)
    assert found == status
    assert words is None or json.loads(answer) == {"error": words}


def test_predict_takes_signatures_of_the_three_methods_only(batching: Conformance) -> None:
    words = (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: tensorflow/serving/other"
    )
    made = asked("kinds", "other_method", x=np.float32([1]))
    assert refused(batching.predictions.Predict, made) == ("INTERNAL", words)
    status, answer = batching.post('{"signature_name": "other_method", "instances": [1]}')
    assert (status, json.loads(answer)) == (500, {"error": words})


def test_counts_of_requests_and_examples(tmp_path: Path) -> None:
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    with conforming(tmp_path / "models", f"--monitoring_config_file={monitoring}") as one:
        one.post('{"signature_name": "int64", "instances": [1]}')
        one.post("{")
        one.send("GET", "/v1/models/kinds")
        one.send("PUT", "/v1/models/kinds")
        one.post('{"signature_name": "both", "examples": [{}, {}]}', verb="classify")
        one.predictions.Predict(asked("kinds", "int64", x=np.int64([1])), timeout=60)
        answer = one.send("GET", "/monitoring/prometheus/metrics")
        assert answer.headers["content-type"] == "text/plain"
        lines = answer.text.splitlines()
        wrong = one.send("GET", "/monitoring/prometheus/metrics?a")
    prefix = ":tensorflow:serving:"
    for line in (
        f'{prefix}request_count{{model_name="kinds",status="OK"}} 4',
        f'{prefix}request_count{{model_name="kinds",status="INVALID_ARGUMENT"}} 1',
        f'{prefix}request_count{{model_name="",status="INVALID_ARGUMENT"}} 1',
        f'{prefix}request_example_count_total{{model="kinds"}} 2',
        f'{prefix}request_example_counts_bucket{{model="kinds",le="1"}} 0',
        f'{prefix}request_example_counts_bucket{{model="kinds",le="2"}} 1',
        f'{prefix}request_example_counts_bucket{{model="kinds",le="+Inf"}} 1',
        *(
            f'{prefix}request_latency_count{{model_name="kinds",API="{api}",entrypoint="{by}"}} 1'
            for api, by in (
                *(("predict", "REST"), ("", "REST"), ("classify", "REST")),
                ("Predict", "GRPC"),
            )
        ),
        f'{prefix}runtime_latency_count{{model_name="kinds",API="Predict",runtime="TF1"}} 2',
        f"# TYPE {prefix}request_count counter",
        f"# TYPE {prefix}request_latency histogram",
    ):
        assert line in lines
    assert (wrong.status_code, wrong.text) == (
        400,
        (
            "Unexpected path: /monitoring/prometheus/metrics?a. "
            "Should be /monitoring/prometheus/metrics"
        ),
    )
