"""What a client can do wrong: never a 5xx for it, never a crash, never a hang."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import hypothesis.strategies as st
import numpy as np
import pytest
import requests
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis.extra import numpy as npst
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from pipeline.core.server_process import Running
from pipeline.serve.tensor_reader import to_array
from pipeline.serve.tensor_writer import fill_content, fill_proto

TIMEOUT = 30
"""Seconds; far more than any of these may take, so that a hang is seen."""
MISTAKES = {
    grpc.StatusCode.OK,  # it was none
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
}
QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.just({"b64": "AAEC"})
    | st.just({"b64": "?"}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
BODIES = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "context", "signature_name", "x"]),
    JSON
    | st.sampled_from(["many", "numbers", "halves", "classify", "regress"])
    | st.lists(st.fixed_dictionaries({"x": JSON}), max_size=3),
)


@QUICK
@given(body=BODIES, method=st.sampled_from(["predict", "classify", "regress"]))
def test_bodies_of_the_right_words(server: Running, body: dict[str, object], method: str) -> None:
    url = f"{server.rest_url}/v1/models/half:{method}"
    text = json.dumps(body).encode()
    answer = requests.post(url, text, timeout=TIMEOUT)
    assert answer.status_code in {200, 400, 501}, answer.text
    assert "Traceback" not in answer.text
    assert (answer.status_code == 200) == ("error" not in answer.json())


@QUICK
@given(body=st.binary(max_size=80), path=st.text(st.characters(codec="ascii"), max_size=20))
def test_bodies_and_addresses_of_any_bytes(server: Running, body: bytes, path: str) -> None:
    for url in ("/v1/models/half:predict", f"/v1/models/{requests.utils.quote(path)}"):
        for answer in (
            requests.post(server.rest_url + url, body, timeout=TIMEOUT),
            requests.get(server.rest_url + url, timeout=TIMEOUT),
        ):
            assert answer.status_code in {200, 400, 404}
            assert answer.json()


@pytest.fixture(scope="module")
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as opened:
        yield opened


def asked(channel: grpc.Channel, method: str, message: bytes) -> tuple[grpc.StatusCode, str]:
    """How a request ended: code and details."""
    call = channel.unary_unary(f"/tensorflow.serving.{method}").future(message, timeout=TIMEOUT)
    return call.code(), call.details() or ""


def good_requests() -> dict[str, bytes]:
    """A request of each method that would be answered, as bytes."""
    spec = {"name": "half"}
    predict = predict_pb2.PredictRequest(model_spec=spec, output_filter=["y"])
    predict.inputs["x"].CopyFrom(tf.make_tensor_proto(np.float32([1, 2])))
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(1.0)
    examples = {"example_list": {"examples": [example]}}
    classify = classification_pb2.ClassificationRequest(
        model_spec={**spec, "signature_name": "classify"}, input=examples
    )
    regress = regression_pb2.RegressionRequest(
        model_spec={**spec, "signature_name": "regress"}, input=examples
    )
    both = inference_pb2.MultiInferenceRequest(input=examples)
    both.tasks.add(model_spec=regress.model_spec, method_name="tensorflow/serving/regress")
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(
        model_spec=spec, metadata_field=["signature_def"]
    )
    status = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
    prediction, model = "PredictionService", "ModelService"
    found = {
        f"{prediction}/Predict": predict,
        f"{prediction}/Classify": classify,
        f"{prediction}/Regress": regress,
        f"{prediction}/MultiInference": both,
        f"{prediction}/GetModelMetadata": metadata,
        f"{model}/GetModelStatus": status,
        f"{model}/HandleReloadConfigRequest": model_management_pb2.ReloadConfigRequest(),
    }
    return {name: message.SerializeToString() for name, message in found.items()}


GOOD = good_requests()


@QUICK
@given(data=st.data(), method=st.sampled_from(sorted(GOOD)))
def test_requests_with_changed_bytes(
    channel: grpc.Channel, data: st.DataObject, method: str
) -> None:
    """Some bytes of a good request are others, gone, or more."""
    message = bytearray(GOOD[method])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(message)))
        end = data.draw(st.integers(at, min(at + 3, len(message))))
        message[at:end] = data.draw(st.binary(max_size=3))
    code, details = asked(channel, method, bytes(message))
    # INTERNAL is gRPC's own word for bytes that are no message.
    unreadable = code is grpc.StatusCode.INTERNAL and "deserializ" in details
    assert code in MISTAKES or unreadable, details
    assert "Traceback" not in details


@QUICK
@given(
    dtype=st.integers(0, 40),
    sizes=st.lists(st.integers(-2, 2**40), max_size=4),
    content=st.binary(max_size=12),
    values=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
)
def test_tensors_of_any_fields(
    channel: grpc.Channel, dtype: int, sizes: list[int], content: bytes, values: list[int]
) -> None:
    made = predict_pb2.PredictRequest(model_spec={"name": "half"})
    tensor = made.inputs["x"]
    tensor.dtype = dtype
    for size in sizes:
        tensor.tensor_shape.dim.add(size=size)
    tensor.tensor_content = content
    tensor.int_val.extend(values)
    code, details = asked(channel, "PredictionService/Predict", made.SerializeToString())
    assert code in MISTAKES, details


def test_the_server_is_well_after_all_this(server: Running) -> None:
    body = {"instances": [2]}
    answer = requests.post(f"{server.rest_url}/v1/models/half:predict", json=body, timeout=TIMEOUT)
    assert answer.json() == {"predictions": [3.0]}
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text(errors="replace")


STRINGS = npst.arrays(
    np.dtype(object), npst.array_shapes(min_dims=0, min_side=0), elements=st.binary(max_size=300)
)
NUMBERS = npst.arrays(
    st.sampled_from([np.float32, np.int64, np.bool_, np.uint8, np.float16, np.complex64]),
    npst.array_shapes(min_dims=0, min_side=0),
)


@settings(max_examples=100, deadline=None)
@given(array=STRINGS | NUMBERS)
def test_tensors_come_back_from_both_forms(array: np.ndarray) -> None:
    for fill in (fill_proto, fill_content):
        proto = tensor_pb2.TensorProto()
        fill(proto, array)
        np.testing.assert_array_equal(to_array(proto), array)


@settings(max_examples=100)
@given(content=st.binary(min_size=1, max_size=20), count=st.integers(0, 5))
def test_packed_strings_of_any_bytes(content: bytes, count: int) -> None:
    proto = tensor_pb2.TensorProto(dtype=tf.string.as_datatype_enum, tensor_content=content)
    proto.tensor_shape.dim.add(size=count)
    try:
        array = to_array(proto)
    except ValueError:
        return
    again = tensor_pb2.TensorProto()
    fill_content(again, array)
    assert to_array(again).tolist() == array.tolist()
