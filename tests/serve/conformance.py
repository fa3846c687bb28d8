"""Models and a server for the conformance tests: what TensorFlow Serving's own tests ask for.

The models are single graphs with many signatures, made with the old builder: it writes them in a
moment, and a signature may say whatever it likes of its method and its defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import requests
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from pipeline.serve.flags import parse_flags
from pipeline.serve.models import Model
from pipeline.serve.server import Server
from tests.serve.models import config_text

v1 = tf.compat.v1
Tensors = Mapping[str, tf.Tensor]
Signatures = dict[str, meta_graph_pb2.SignatureDef]

IDENTITIES = (
    *(tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32, tf.uint32, tf.int64, tf.uint64),
    *(tf.float32, tf.float64, tf.half, tf.bfloat16, tf.bool, tf.string, tf.complex64),
)


def signature(inputs: Tensors, outputs: Tensors, method: str = "predict") -> object:
    """A signature whose method is one of TensorFlow Serving's."""
    infos = [
        {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in tensors.items()}
        for tensors in (inputs, outputs)
    ]
    return v1.saved_model.build_signature_def(*infos, f"tensorflow/serving/{method}")


def write_half_plus_two(folder: Path) -> None:
    """y = x / 2 + 2 of numbers and of tf.Examples, y3 = x2 / 2 + 3."""
    with tf.Graph().as_default():
        _write(folder, _half_plus_two())


def _half_plus_two() -> Signatures:
    examples = v1.placeholder(tf.string, [None], "tf_example")
    features = {
        "x": tf.io.FixedLenFeature([1], tf.float32),
        "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0]),
    }
    parsed = tf.io.parse_example(examples, features)
    x, x2 = (tf.identity(parsed[name], name) for name in ("x", "x2"))
    half, two, three = (
        v1.get_variable(n, initializer=v) for n, v in (("a", 0.5), ("b", 2.0), ("c", 3.0))
    )
    y, y3 = tf.add(half * x, two, "y"), tf.add(half * x2, three, "y3")
    given = {"inputs": examples}
    return {
        "serving_default": signature({"x": x}, {"y": y}),
        "regress_x_to_y": signature(given, {"outputs": y}, "regress"),
        "regress_x2_to_y3": signature({"inputs": x2}, {"outputs": y3}, "regress"),
        "classify_x_to_y": signature(given, {"scores": y}, "classify"),
        "classify_x2_to_y3": signature({"inputs": x2}, {"scores": y3}, "classify"),
    }


def write_kinds(folder: Path) -> None:
    """Signatures for every kind of tensor and of trouble; none is the default."""
    with tf.Graph().as_default():
        _write(folder, _kinds() | _classifiers())


def _kinds() -> Signatures:
    signatures: Signatures = {}
    for dtype in IDENTITIES:
        x = v1.placeholder(dtype, None)
        signatures[dtype.name] = signature({"x": x}, {"y": tf.identity(x)})
    number, word = (
        v1.placeholder(dtype, None, name)
        for dtype, name in ((tf.int32, "number"), (tf.string, "word"))
    )
    both = {"number": number, "word": word}
    signatures["two"] = signature(both, {n: tf.identity(t) for n, t in both.items()})
    signatures["two_words"] = signature(
        {"a": word, "b": v1.placeholder(tf.string, None)}, {"a": tf.identity(word)}
    )
    signatures["bytes"] = signature({"x": word}, {"y_bytes": tf.identity(word)})
    signatures["text_and_bytes"] = signature(
        {"x": word}, {"y": tf.identity(word), "y_bytes": tf.identity(word)}
    )
    plain = v1.placeholder(tf.float32, None)
    signatures["scalar"] = signature({"x": plain}, {"y": tf.reduce_sum(plain)})
    signatures["uneven"] = signature(
        {"x": plain}, {"a": tf.identity(plain), "b": tf.concat([plain, plain], 0)}
    )
    signatures["adds"] = signature(
        {"a": plain, "b": v1.placeholder(tf.float32, None, "b")},
        {"sum": plain + v1.get_default_graph().get_tensor_by_name("b:0")},
    )
    signatures["no_input"] = signature({}, {"y": tf.constant(7.0)})
    signatures["defaults"] = signature(both, {n: tf.identity(t) for n, t in both.items()})
    signatures["defaults"].defaults["number"].CopyFrom(tf.make_tensor_proto(41, tf.int32))
    signatures["other_method"] = signature({"x": plain}, {"y": plain}, "other")
    return signatures


def _classifiers() -> Signatures:
    """From tf.Examples that need not hold anything; by what their outputs are."""
    examples = v1.placeholder(tf.string, [None])
    given, rows = {"inputs": examples}, tf.size(examples)
    words = tf.tile([["no", "yes"]], [rows, 1])
    scores = tf.tile([[0.25, 0.75]], [rows, 1])
    wide = tf.tile([[0.1, 0.2, 0.3]], [rows, 1])
    column, flat = scores[:, :1], scores[:, 0]
    classes: dict[str, Tensors] = {
        "both": {"classes": words, "scores": scores},
        "only_classes": {"classes": words},
        "only_scores": {"scores": scores},
        "widths": {"classes": words, "scores": wide},
        "flat_scores": {"scores": flat},
        "double_scores": {"scores": tf.cast(scores, tf.float64)},
        "number_classes": {"classes": scores},
        "few_scores": {"scores": scores[:1]},
        "unnamed": {"what": scores},
        "three": {"classes": words, "scores": scores, "more": flat},
    }
    values = {
        "values": flat,
        "column": column,
        "wide_values": scores,
        "double_values": tf.cast(flat, tf.float64),
        "few_values": flat[:1],
    }
    found = {name: signature(given, outputs, "classify") for name, outputs in classes.items()}
    for name, tensor in values.items():
        found[name] = signature(given, {"outputs": tensor}, "regress")
    found["two_inputs"] = signature({"inputs": examples, "more": flat}, {"scores": scores})
    packed = tf.reshape(tf.io.encode_base64(examples, pad=True), [-1, 1])
    found["echo"] = signature(given, {"classes": packed}, "classify")
    return found


def _write(folder: Path, signatures: Signatures) -> None:
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signature_def_map=signatures)
        builder.save()


@dataclass(frozen=True)
class Conformance:
    """A server that serves `half_plus_two` as versions 123 and 124, and `kinds`.

    Attributes:
        url: Of its REST API.
        predictions: Its PredictionService.
        models: Its ModelService.
    """

    url: str
    predictions: prediction_service_pb2_grpc.PredictionServiceStub
    models: model_service_pb2_grpc.ModelServiceStub

    def send(
        self, method: str, path: str, body: bytes | str = b"", **headers: str
    ) -> requests.Response:
        """One request; names of headers with `_` for `-`."""
        data = body if isinstance(body, bytes) else body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.url + path, data=data, headers=named, timeout=60)

    def post(
        self, body: bytes | str, model: str = "kinds", verb: str = "predict"
    ) -> tuple[int, str]:
        """HTTP status, and the text without the line breaks of its layout."""
        answer = self.send("POST", f"/v1/models/{model}:{verb}", body)
        return answer.status_code, dense(answer.content)


def dense(text: bytes) -> str:
    """JSON text without the line breaks and indents of its layout, which the two servers choose."""
    return re.sub(r"\n *", "", text.decode("utf-8", "surrogateescape"))


def asked(
    name: str = "kinds", signature_name: str = "", **inputs: object
) -> predict_pb2.PredictRequest:
    """A Predict request; inputs are arrays or TensorProtos."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = name, signature_name
    for key, value in inputs.items():
        made.inputs[key].CopyFrom(
            value if hasattr(value, "tensor_shape") else tf.make_tensor_proto(value)
        )
    return made


def refused(method: grpc.UnaryUnaryMultiCallable, request: object) -> tuple[str, str]:
    """Code and words of an error; fails where there is none."""
    try:
        answer = method(request, timeout=60)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    raise AssertionError(f"it was answered: {answer}")


@contextmanager
def conforming(folder: Path, *flags: str) -> Iterator[Conformance]:
    """A server in this process; see `Conformance`."""
    for name in ("half_plus_two/00000123", "half_plus_two/00000124", "kinds/1"):
        (write_kinds if name.startswith("kinds") else write_half_plus_two)(folder / name)
    half = Model("half_plus_two", folder / "half_plus_two", newest=0, labels={"stable": 123})
    config = folder / "models.config"
    config.write_text(
        config_text(half, Model("kinds", folder / "kinds")).replace(
            "version_labels", "model_version_policy { all {} } version_labels"
        )
    )
    options = parse_flags(
        [
            f"--model_config_file={config}",
            "--allow_version_labels_for_unavailable_models",
            "--free_ports",
            "--file_system_poll_wait_seconds=0",
            *flags,
        ]
    )
    assert options is not None
    server = Server(options)
    server.start()
    try:
        with connected(server) as one:
            yield one
    finally:
        server.stop()


@contextmanager
def connected(server: Server) -> Iterator[Conformance]:
    """Clients of a running server."""
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield Conformance(
            f"http://127.0.0.1:{server.rest_port}",
            prediction_service_pb2_grpc.PredictionServiceStub(channel),
            model_service_pb2_grpc.ModelServiceStub(channel),
        )
