"""JSON bodies as requests: predict to arrays, classify and regress to tf.Examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, regression_pb2

from pipeline.serve.dtypes import Array
from pipeline.serve.json_shown import shown, type_name
from pipeline.serve.json_tensors import tensors_of_inputs, tensors_of_instances
from pipeline.serve.json_text import encoded, parse
from pipeline.serve.json_values import decode_base64
from pipeline.serve.json_walk import Inputs
from pipeline.serve.status import ServingError, invalid

ExamplesRequest = TypeVar(
    "ExamplesRequest", classification_pb2.ClassificationRequest, regression_pb2.RegressionRequest
)


@dataclass(frozen=True)
class Asked:
    """The tensors of a JSON predict request.

    Attributes:
        arrays: Arrays by input alias.
        format: Whether rows or columns were sent, and are to be answered.
    """

    arrays: dict[str, Array]
    format: Literal["row", "columnar"]


def predict_request(document: dict[str, Any], inputs: Inputs) -> Asked:
    """Reads a predict request for a signature with `inputs`.

    Raises:
        ServingError: INVALID_ARGUMENT, in the words and the order of json_tensor.cc.
    """
    if not inputs:
        name = signature_name(document) or "DEFAULT"
        raise invalid(f"Failed to get input map for signature: {name}")
    if "instances" not in document and "inputs" not in document:
        raise invalid("Missing 'inputs' or 'instances' key")
    if "instances" not in document:
        return Asked(tensors_of_inputs(document["inputs"], inputs), "columnar")
    instances = document["instances"]
    if "inputs" in document:
        raise _unfit(
            document,
            "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist ",
        )
    if not isinstance(instances, list):
        raise _unfit(document, "Expecting 'instances' to be an list/array")
    if not instances:
        raise _unfit(document, "No values in 'instances' array")
    return Asked(tensors_of_instances(instances, inputs), "row")


def _unfit(document: dict[str, Any], why: str) -> ServingError:
    return invalid(f"JSON Value: {shown(document)} {why}")


def signature_name(document: dict[str, Any]) -> str:
    """The signature asked for; '' for the default one.

    Raises:
        ServingError: INVALID_ARGUMENT: it is no string.
    """
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise _unfit(
            document, "not formatted correctly. 'signature_name' key must be a string value."
        )
    return encoded(name).decode("utf-8", "replace")


def fill_examples(body: bytes, request: ExamplesRequest) -> None:
    """Reads a classify or regress request into `request`.

    Raises:
        ServingError: INVALID_ARGUMENT, in the words of json_tensor.cc.
    """
    document = parse(body)
    request.model_spec.signature_name = signature_name(document)
    target = request.input.example_list
    if "context" in document:
        target = request.input.example_list_with_context
        _fill_example(document["context"], target.context)
    if "examples" not in document:
        raise _unfit(
            document, "When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise _unfit(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise _unfit(document, "'examples' value is an empty array")
    for example in examples:
        _fill_example(example, target.examples.add())


def _fill_example(value: Any, example: example_pb2.Example) -> None:
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in value.items():
        feature = example.features.feature[encoded(name).decode("utf-8", "replace")]
        for item in content if isinstance(content, list) else [content]:
            _add_value(item, name, feature)


def _add_value(value: Any, name: str, feature: example_pb2.Feature) -> None:
    match value:
        case bool():
            _values(feature, "int64_list", name).append(int(value))
        case int():
            numbers = _values(feature, "int64_list", name)
            if value >= 2**63:
                raise invalid(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
            numbers.append(value)
        case float():
            _values(feature, "float_list", name).append(value)
        case str():
            _values(feature, "bytes_list", name).append(encoded(value))
        case {"b64": str(packed)} if len(value) == 1:
            _values(feature, "bytes_list", name).append(decode_base64(packed))
        case _:
            raise invalid(
                f"Feature: {name} has element with unexpected JSON type: {type_name(value)}"
            )


_KINDS = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}


def _values(feature: example_pb2.Feature, kind: str, name: str) -> Any:
    """The list of `feature` for values of `kind`; all values of a feature are of one kind."""
    known = feature.WhichOneof("kind")
    if known not in {None, kind}:
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {_KINDS[known]}")
    return getattr(feature, kind).value
