"""The gRPC API of a real server process: answers, typed fields, codes and words."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from pipeline.core.server_process import Running

Code = grpc.StatusCode


@pytest.fixture(scope="module")
def channel(server: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel: grpc.Channel) -> model_service_pb2_grpc.ModelServiceStub:
    return model_service_pb2_grpc.ModelServiceStub(channel)


def request(name="half", signature="", **inputs) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = name
    made.model_spec.signature_name = signature
    for key, value in inputs.items():
        made.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return made


def refused(method, made, code: grpc.StatusCode) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        method(made, timeout=30)
    assert caught.value.code() is code, caught.value
    return caught.value.details()


def test_predict_answers_in_typed_fields(stub) -> None:
    response = stub.Predict(request(x=np.float32([2, 4])), timeout=30)
    assert list(response.outputs["y"].float_val) == [3.0, 4.0]
    assert not response.outputs["y"].tensor_content
    assert [dim.size for dim in response.outputs["y"].tensor_shape.dim] == [2]
    assert response.model_spec.name == "half"
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == "serving_default"


def test_every_dtype_goes_there_and_back(stub) -> None:
    arrays = {
        "int8": np.int8([-128, 127]),
        "uint8": np.uint8([0, 255]),
        "int16": np.int16([[-300]]),
        "int32": np.int32(7),
        "uint32": np.uint32([2**32 - 1]),
        "uint64": np.uint64([2**64 - 1]),
        "float32": np.float32([np.nan, np.inf, -0.0]),
    }
    response = stub.Predict(request(signature="numbers", **arrays), timeout=30)
    for name, array in arrays.items():
        back = tf.make_ndarray(response.outputs[f"{name}_out"])
        np.testing.assert_array_equal(back, array)
        assert back.dtype == array.dtype
    halves = np.float16([0.5, np.inf])
    response = stub.Predict(request(signature="halves", x=halves), timeout=30)
    np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), halves)


def test_many_inputs_and_an_output_filter(stub) -> None:
    made = request(
        signature="many", number=np.float64([1]), word=["\0ü"], flag=[True], pair=np.int64([[1, 2]])
    )
    response = stub.Predict(made, timeout=30)
    assert list(response.outputs["word"].string_val) == ["\0ü".encode()]
    assert list(response.outputs["sum"].double_val) == [4.0]
    assert list(response.outputs["pair"].int64_val) == [1, 2]
    made.output_filter.append("flag")
    assert list(stub.Predict(made, timeout=30).outputs) == ["flag"]
    made.output_filter.append("flag")
    words = refused(stub.Predict, made, Code.INVALID_ARGUMENT)
    assert words == "duplicate output tensor alias: flag"
    made.output_filter[:] = ["nope"]
    words = refused(stub.Predict, made, Code.INVALID_ARGUMENT)
    assert words.startswith("output tensor alias not found in signature: nope Outputs expected")


def test_short_typed_fields_are_filled_with_their_last_value(stub) -> None:
    made = request()
    made.inputs["x"].dtype = tf.float32.as_datatype_enum
    made.inputs["x"].tensor_shape.dim.add(size=3)
    made.inputs["x"].float_val[:] = [2.0, 4.0]
    assert list(stub.Predict(made, timeout=30).outputs["y"].float_val) == [3.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("size", "dtype", "content"),
    [
        (-1, tf.float32, b""),
        (2, tf.float32, b"123"),
        (1, tf.variant, b""),
        (2**40, tf.float32, b""),
    ],
)
def test_tensors_that_are_none(stub, size: int, dtype, content: bytes) -> None:
    made = request()
    made.inputs["x"].dtype = dtype.as_datatype_enum
    made.inputs["x"].tensor_shape.dim.add(size=size)
    made.inputs["x"].tensor_content = content
    assert refused(stub.Predict, made, Code.INVALID_ARGUMENT) == "tensor parsing error: x"


def test_version_and_label_choose(stub) -> None:
    made = request(x=np.float32([0]))
    made.model_spec.version.value = 1
    assert stub.Predict(made, timeout=30).outputs["y"].float_val[0] == 1.0
    made.model_spec.version_label = "challenger"
    assert stub.Predict(made, timeout=30).outputs["y"].float_val[0] == 2.0
    made.model_spec.version_label = "gold"
    words = refused(stub.Predict, made, Code.INVALID_ARGUMENT)
    assert words == "Unrecognized servable version label: gold"
    made.model_spec.version.value = 9
    words = refused(stub.Predict, made, Code.NOT_FOUND)
    assert words == "Servable not found for request: Specific(half, 9)"


def test_wrong_predicts(stub) -> None:
    empty = predict_pb2.PredictRequest()
    assert refused(stub.Predict, empty, Code.INVALID_ARGUMENT) == "Missing ModelSpec"
    words = refused(stub.Predict, request(name=""), Code.INVALID_ARGUMENT)
    assert words == "ModelSpec has no name specified."
    words = refused(stub.Predict, request(name="nope"), Code.NOT_FOUND)
    assert words == "Servable not found for request: Latest(nope)"
    words = refused(stub.Predict, request(signature="no"), Code.FAILED_PRECONDITION)
    assert words == 'Serving signature key "no" not found.'
    words = refused(stub.Predict, request(z=[1.0]), Code.INVALID_ARGUMENT)
    assert words.startswith("Signature input alias: x(feed name: serving_default_x:0) not found in")
    words = refused(stub.Predict, request(x=[1.0], z=[1.0]), Code.INVALID_ARGUMENT)
    assert words == (
        "input size does not match signature: 2!=1 len({x,z}) != len({x}). "
        "Sent extra: {z}. Missing but required: {}."
    )
    words = refused(stub.Predict, request(x=np.float64([1])), Code.INVALID_ARGUMENT)
    assert words == "Expects arg[0] to be float but double is provided"
    many = request(signature="many", flag=[True], number=np.float32([1]), word=["a"], pair=[[1, 2]])
    words = refused(stub.Predict, many, Code.INVALID_ARGUMENT)
    assert words == "Expects arg[1] to be double but float is provided", "in order of tensor names"


def test_classify_regress_and_both(stub) -> None:
    example = tf.train.Example()
    example.features.feature["x"].float_list.value.append(0.5)
    classify = classification_pb2.ClassificationRequest()
    classify.model_spec.name, classify.model_spec.signature_name = "half", "classify"
    words = refused(stub.Classify, classify, Code.INVALID_ARGUMENT)
    assert words == "Input is empty."
    classify.input.example_list.examples.add().CopyFrom(example)
    (row,) = stub.Classify(classify, timeout=30).result.classifications
    assert [(one.label, one.score) for one in row.classes] == [("no", 0.5), ("yes", 2.5)]
    regress = regression_pb2.RegressionRequest(input=classify.input)
    regress.model_spec.name, regress.model_spec.signature_name = "half", "regress"
    response = stub.Regress(regress, timeout=30)
    assert [one.value for one in response.result.regressions] == [2.25]
    both = inference_pb2.MultiInferenceRequest(input=classify.input)
    for spec, method in ((classify.model_spec, "classify"), (regress.model_spec, "regress")):
        both.tasks.add(model_spec=spec, method_name=f"tensorflow/serving/{method}")
    first, second = stub.MultiInference(both, timeout=30).results
    assert first.classification_result.classifications[0].classes[1].score == 2.5
    assert second.regression_result.regressions[0].value == 2.25
    assert second.model_spec.signature_name == "regress"
    both.tasks[1].method_name = "tensorflow/serving/predict"
    words = refused(stub.MultiInference, both, Code.UNIMPLEMENTED)
    assert words.startswith("Unsupported signature method_name")


def test_metadata(stub) -> None:
    asked = get_model_metadata_pb2.GetModelMetadataRequest()
    asked.model_spec.name = "half"
    words = refused(stub.GetModelMetadata, asked, Code.INVALID_ARGUMENT)
    assert words == "GetModelMetadataRequest must specify at least one metadata_field"
    asked.metadata_field.append("signature_def")
    response = stub.GetModelMetadata(asked, timeout=30)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert {"serving_default", "many", "classify"} <= set(signatures.signature_def)
    assert response.model_spec.version.value == 2
    asked.metadata_field.append("weights")
    words = refused(stub.GetModelMetadata, asked, Code.INVALID_ARGUMENT)
    assert words == "Metadata field weights is not supported"


def test_status(models) -> None:
    asked = get_model_status_pb2.GetModelStatusRequest()
    assert refused(models.GetModelStatus, asked, Code.INVALID_ARGUMENT) == "Missing ModelSpec"
    asked.model_spec.name = "half"
    found = models.GetModelStatus(asked, timeout=30).model_version_status
    assert [(one.version, one.state, one.status.error_code) for one in found] == [
        (2, 30, 0),
        (1, 30, 0),
    ]
    asked.model_spec.version.value = 3
    words = refused(models.GetModelStatus, asked, Code.NOT_FOUND)
    assert words == "Could not find version 3 of model half"


def test_a_bad_reload_changes_nothing(models, stub) -> None:
    asked = model_management_pb2.ReloadConfigRequest()
    words = refused(models.HandleReloadConfigRequest, asked, Code.INVALID_ARGUMENT)
    assert words.startswith("ServerModelConfig type not supported")
    one = asked.config.model_config_list.config.add(name="other", base_path="/nowhere/at/all")
    assert "neither" in refused(models.HandleReloadConfigRequest, asked, Code.INVALID_ARGUMENT)
    one.model_platform = "tensorflow"
    words = refused(models.HandleReloadConfigRequest, asked, Code.INVALID_ARGUMENT)
    assert words.startswith("Could not find base path")
    response = stub.Predict(request(x=np.float32([2])), timeout=30)
    assert list(response.outputs["y"].float_val) == [3.0]
