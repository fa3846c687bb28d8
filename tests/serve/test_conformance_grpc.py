"""Predict, metadata, status and reload over gRPC: what TensorFlow Serving's own tests hold."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    predict_pb2,
)

from tests.serve.conformance import IDENTITIES, Conformance, asked, refused

HALF = "half_plus_two"
INVALID = "INVALID_ARGUMENT"
NUMBERS = {
    "float32": [1.5, float("nan"), float("-inf"), -0.0],
    "float64": [1e300, 0.1],
    "bool": [True, False],
    "string": [b"", b"\0\xff", b"word"],
    "complex64": [1 + 2j, 0],
}


def half(**inputs: object) -> predict_pb2.PredictRequest:
    return asked(HALF, **inputs)


def typed(dtype: str, size: int | None = None, **fields: object) -> tensor_pb2.TensorProto:
    """A TensorProto as a client may write it: with fewer values, or packed."""
    proto = tensor_pb2.TensorProto(dtype=getattr(types_pb2, f"DT_{dtype}"), **fields)
    if size is not None:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize("dtype", IDENTITIES, ids=lambda dtype: dtype.name)
def test_every_kind_of_tensor_in_typed_fields_and_packed(
    conformance: Conformance, dtype: tf.DType
) -> None:
    values = NUMBERS.get(dtype.name, [0, 1, 100])
    array = np.array(values, object if dtype == tf.string else dtype.as_numpy_dtype)
    for shape in ((len(values), 1), (0, 3)):
        given = array.reshape(shape) if shape[0] else array[:0].reshape(shape)
        proto = tf.make_tensor_proto(given, dtype)
        answer = conformance.predictions.Predict(asked("kinds", dtype.name, x=proto))
        back = answer.outputs["y"]
        assert not back.tensor_content
        assert back.dtype == dtype.as_datatype_enum
        assert [dim.size for dim in back.tensor_shape.dim] == list(shape)
        np.testing.assert_array_equal(tf.make_ndarray(back), given)


@pytest.mark.parametrize("dtype", IDENTITIES, ids=lambda dtype: dtype.name)
def test_a_scalar_of_every_kind(conformance: Conformance, dtype: tf.DType) -> None:
    value = NUMBERS.get(dtype.name, [1])[-1]
    proto = tf.make_tensor_proto(value, dtype)
    back = conformance.predictions.Predict(asked("kinds", dtype.name, x=proto)).outputs["y"]
    assert back == proto, "an empty shape, too, is written"
    assert back.HasField("tensor_shape")


SHORT = [
    (typed("FLOAT", 3, float_val=[2.0, 4.0]), [3.0, 4.0, 4.0]),
    (typed("FLOAT", 3), [2.0, 2.0, 2.0]),
    (typed("FLOAT", 1, float_val=[2.0, 4.0]), [3.0]),
    (typed("FLOAT", float_val=[2.0]), [3.0]),
    (typed("FLOAT"), [2.0]),
    (typed("FLOAT", 2, tensor_content=np.float32([2, 4]).tobytes()), [3.0, 4.0]),
    (typed("FLOAT", 2, tensor_content=np.float32([2, 4]).tobytes(), float_val=[9.0]), [3.0, 4.0]),
    (typed("FLOAT", 0), []),
]


@pytest.mark.parametrize(("proto", "answers"), SHORT)
def test_tensors_with_fewer_or_more_values(
    conformance: Conformance, proto: tensor_pb2.TensorProto, answers: list[float]
) -> None:
    answer = conformance.predictions.Predict(half(x=proto))
    assert list(answer.outputs["y"].float_val) == answers
    assert answer.model_spec.name == HALF
    assert answer.model_spec.version.value == 124
    assert answer.model_spec.signature_name == "serving_default"


@pytest.mark.parametrize(
    "proto",
    [
        typed("FLOAT", -1),
        typed("FLOAT", 2, tensor_content=b"123"),
        typed("FLOAT", 2**40),
        typed("INVALID", 1),
        typed("VARIANT", 1),
        typed("STRING", 2, tensor_content=b"\x01\x05a"),
    ],
)
def test_tensors_that_cannot_be_read(
    conformance: Conformance, proto: tensor_pb2.TensorProto
) -> None:
    assert refused(conformance.predictions.Predict, half(x=proto)) == (
        INVALID,
        "tensor parsing error: x",
    )


def test_an_unknown_rank_is_no_shape(conformance: Conformance) -> None:
    proto = typed("FLOAT", float_val=[1.0])
    proto.tensor_shape.unknown_rank = True
    assert refused(conformance.predictions.Predict, half(x=proto))[1] == "tensor parsing error: x"


ONE = np.float32([[2.0]])


def chosen(**choice: object) -> predict_pb2.PredictRequest:
    made = half(x=ONE)
    if "version" in choice:
        made.model_spec.version.value = choice["version"]
    if "label" in choice:
        made.model_spec.version_label = choice["label"]
    return made


@pytest.mark.parametrize(
    ("choice", "version"),
    [({"version": 123}, 123), ({"version": 124}, 124), ({"label": "stable"}, 123)],
)
def test_versions_and_labels(
    conformance: Conformance, choice: dict[str, object], version: int
) -> None:
    answer = conformance.predictions.Predict(chosen(**choice))
    assert answer.outputs["y"].float_val == [3.0]
    assert answer.model_spec.version.value == version
    assert not answer.model_spec.version_label


FILTERED = half(x=ONE)
FILTERED.output_filter.extend(["y", "y"])
UNKNOWN = half(x=np.float64(1))
UNKNOWN.output_filter.append("z")

REFUSED = [
    (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
    (asked("", x=ONE), INVALID, "ModelSpec has no name specified."),
    (asked("foo", x=ONE), "NOT_FOUND", "Servable not found for request: Latest(foo)"),
    (chosen(version=9), "NOT_FOUND", f"Servable not found for request: Specific({HALF}, 9)"),
    (chosen(version=-9), "NOT_FOUND", f"Servable not found for request: Specific({HALF}, -9)"),
    (chosen(version=0), "NOT_FOUND", f"Servable not found for request: Specific({HALF}, 0)"),
    (chosen(label="no"), INVALID, "Unrecognized servable version label: no"),
    (chosen(label=""), INVALID, "Unrecognized servable version label: "),
    (
        asked("kinds", x=ONE),
        "FAILED_PRECONDITION",
        'Serving signature key "serving_default" not found.',
    ),
    (asked(HALF, "no", x=ONE), "FAILED_PRECONDITION", 'Serving signature key "no" not found.'),
    (
        half(),
        INVALID,
        (
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. "
            "Missing but required: {x}."
        ),
    ),
    (
        half(unknown_key1="any", unknown_key2=1.0),
        INVALID,
        (
            "input size does not match signature: 2!=1 len({unknown_key1,unknown_key2}) != "
            "len({x}). Sent extra: {unknown_key1,unknown_key2}. Missing but required: {x}."
        ),
    ),
    (
        half(key=["any"]),
        INVALID,
        (
            "Signature input alias: x(feed name: x:0) not found in request and no default value "
            "provided. Inputs expected to be in the request {key}, or default input alias set: "
        ),
    ),
    (half(x=True), INVALID, "Expects arg[0] to be float but bool is provided"),
    (half(x=["any"]), INVALID, "Expects arg[0] to be float but string is provided"),
    (half(x=np.float64([1])), INVALID, "Expects arg[0] to be float but double is provided"),
    (half(x=typed("HALF", 1)), INVALID, "Expects arg[0] to be float but half is provided"),
    (
        UNKNOWN,
        INVALID,
        "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
    ),
    (FILTERED, INVALID, "duplicate output tensor alias: y"),
    (
        asked("kinds", "defaults", number=1),
        INVALID,
        (
            "Signature input alias: word(feed name: word:0) not found in request and no "
            "default value provided. Inputs expected to be in the request {number}, or default "
            "input alias set: number"
        ),
    ),
    (
        asked("kinds", "defaults", word="a", other=1),
        INVALID,
        "Inputs contains invalid name. Used request inputs: word, request input: other,word",
    ),
]


@pytest.mark.parametrize(("made", "code", "words"), REFUSED)
def test_requests_that_are_refused(
    conformance: Conformance, made: predict_pb2.PredictRequest, code: str, words: str
) -> None:
    assert refused(conformance.predictions.Predict, made) == (code, words)


def test_what_an_op_refuses(conformance: Conformance) -> None:
    made = asked("kinds", "adds", a=np.float32([1, 2]), b=np.float32([1, 2, 3]))
    code, words = refused(conformance.predictions.Predict, made)
    assert code == INVALID
    assert words.startswith("Incompatible shapes: [2] vs. [3]\n\t [[{{node ")


def test_an_output_filter_chooses(conformance: Conformance) -> None:
    made = asked("kinds", "two", number=1, word="a")
    assert set(conformance.predictions.Predict(made).outputs) == {"number", "word"}
    made.output_filter.append("word")
    assert dict(conformance.predictions.Predict(made).outputs).keys() == {"word"}


def test_inputs_with_defaults_may_be_left_out(conformance: Conformance) -> None:
    outputs = conformance.predictions.Predict(asked("kinds", "defaults", word="a")).outputs
    assert outputs["number"].int_val == [41]
    outputs = conformance.predictions.Predict(
        asked("kinds", "defaults", word="a", number=7)
    ).outputs
    assert outputs["number"].int_val == [7]


@pytest.mark.parametrize(
    ("signature", "output"),
    [("regress_x2_to_y3", "outputs"), ("classify_x2_to_y3", "scores")],
)
def test_predict_through_signatures_of_other_methods(
    conformance: Conformance, signature: str, output: str
) -> None:
    answer = conformance.predictions.Predict(asked(HALF, signature, inputs=np.float32(2)))
    assert answer.outputs[output] == tf.make_tensor_proto(np.float32(4))
    assert answer.model_spec.signature_name == signature


def test_signatures_without_input_and_of_an_unknown_method(conformance: Conformance) -> None:
    assert conformance.predictions.Predict(asked("kinds", "no_input")).outputs["y"].float_val == [7]
    made = asked("kinds", "other_method", x=np.float32(1))
    code, words = refused(conformance.predictions.Predict, made)
    assert (code, words.partition(" ")[2]) == (INVALID, "is both fed and fetched.")


def metadata(*fields: str, name: str = HALF) -> get_model_metadata_pb2.GetModelMetadataRequest:
    made = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    made.model_spec.name = name
    return made


@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        (get_model_metadata_pb2.GetModelMetadataRequest(), INVALID, "Missing ModelSpec"),
        (
            metadata(),
            INVALID,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        (metadata("foo"), INVALID, "Metadata field foo is not supported"),
        (metadata("signature_def", "foo"), INVALID, "Metadata field foo is not supported"),
        (metadata("foo", name=""), INVALID, "Metadata field foo is not supported"),
        (metadata("signature_def", name=""), INVALID, "ModelSpec has no name specified."),
        (
            metadata("signature_def", name="test"),
            "NOT_FOUND",
            "Servable not found for request: Latest(test)",
        ),
    ],
)
def test_metadata_that_is_refused(
    conformance: Conformance,
    made: get_model_metadata_pb2.GetModelMetadataRequest,
    code: str,
    words: str,
) -> None:
    assert refused(conformance.predictions.GetModelMetadata, made) == (code, words)


def test_metadata(conformance: Conformance) -> None:
    made = metadata("signature_def", "signature_def")
    made.model_spec.version_label = "stable"
    answer = conformance.predictions.GetModelMetadata(made)
    assert (answer.model_spec.name, answer.model_spec.version.value) == (HALF, 123)
    assert not answer.model_spec.signature_name
    assert list(answer.metadata) == ["signature_def"]
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].type_url.endswith("/tensorflow.serving.SignatureDefMap")
    assert answer.metadata["signature_def"].Unpack(found)
    assert found.signature_def["regress_x_to_y"].inputs["inputs"].name == "tf_example:0"


def status(name: str, version: int | None = None) -> get_model_status_pb2.GetModelStatusRequest:
    made = get_model_status_pb2.GetModelStatusRequest()
    made.model_spec.name = name
    if version is not None:
        made.model_spec.version.value = version
    return made


@pytest.mark.parametrize(
    ("made", "code", "words"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), INVALID, "Missing ModelSpec"),
        (status(""), "NOT_FOUND", "Could not find any versions of model "),
        (status("foo"), "NOT_FOUND", "Could not find any versions of model foo"),
        (status("foo", 1), "NOT_FOUND", "Could not find version 1 of model foo"),
        (status(HALF, 1), "NOT_FOUND", f"Could not find version 1 of model {HALF}"),
    ],
)
def test_status_that_is_refused(
    conformance: Conformance,
    made: get_model_status_pb2.GetModelStatusRequest,
    code: str,
    words: str,
) -> None:
    assert refused(conformance.models.GetModelStatus, made) == (code, words)


def test_status(conformance: Conformance) -> None:
    def found(made: get_model_status_pb2.GetModelStatusRequest) -> list[tuple[int, int, int, str]]:
        answer = conformance.models.GetModelStatus(made)
        return [
            (one.version, one.state, one.status.error_code, one.status.error_message)
            for one in answer.model_version_status
        ]

    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert found(status(HALF)) == [(124, available, 0, ""), (123, available, 0, "")]
    assert found(status(HALF, 123)) == [(123, available, 0, "")]
    labelled = status(HALF)
    labelled.model_spec.version_label = "nothing"
    assert len(found(labelled)) == 2, "a label is not looked at"


def reload(**config: object) -> model_management_pb2.ReloadConfigRequest:
    made = model_management_pb2.ReloadConfigRequest()
    if config:
        made.config.model_config_list.config.add(**config)
    return made


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            reload(),
            (
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
                "ModelConfigList is currently supported"
            ),
        ),
        (
            reload(name="a", base_path="relative/path", model_platform="tensorflow"),
            "Expected model a to have an absolute path or URI; got base_path()=relative/path",
        ),
        (
            reload(name="a", base_path="/a"),
            (
                "Illegal setting neither ModelServerConfig::model_type "
                "(deprecated) nor ModelServerConfig::model_platform, model name is a"
            ),
        ),
        (
            reload(name="a", base_path="/a", model_platform="tensorflow", model_type=1),
            (
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                "ModelServerConfig::model_platform, model name is a"
            ),
        ),
        (
            reload(name="a", base_path="/a", model_type=2),
            "ModelServerConfig::model_type choice 2 not supported.",
        ),
        (
            reload(name="a", base_path="/a", model_platform="other"),
            "Model a requests unsupported platform other",
        ),
        (
            reload(name="kinds", base_path="/a", model_platform="other"),
            (
                "Illegal to change a "
                "model's platform. For model kinds platform was tensorflow and new platform "
                "requested is other"
            ),
        ),
    ],
)
def test_configs_that_are_refused(
    conformance: Conformance, made: model_management_pb2.ReloadConfigRequest, words: str
) -> None:
    assert refused(conformance.models.HandleReloadConfigRequest, made) == (INVALID, words)
    assert conformance.predictions.Predict(half(x=ONE)).outputs["y"].float_val == [3.0]


def test_a_model_is_listed_once(conformance: Conformance) -> None:
    made = reload(name="a", base_path="relative", model_platform="tensorflow")
    made.config.model_config_list.config.add(name="a")
    assert refused(conformance.models.HandleReloadConfigRequest, made) == (
        INVALID,
        "Illegal to list model a multiple times in config list",
    )


def test_long_words_are_cut(conformance: Conformance) -> None:
    code, words = refused(conformance.predictions.Predict, asked("x" * 2000, x=ONE))
    assert code == "NOT_FOUND"
    assert words == f"Servable not found for request: Latest({'x' * 985}...TRUNCATED"
