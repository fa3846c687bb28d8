"""Classify, Regress and MultiInference: signatures that take serialised tf.Examples.

Checks, their order, codes and texts are those of TensorFlow Serving's classifier.cc,
regressor.cc, multi_inference.cc and util.cc.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    regression_pb2,
)

from pipeline.serve.dtypes import Array
from pipeline.serve.example_answers import CLASSES, SCORES, fill_classes, fill_values
from pipeline.serve.predict import fill_spec
from pipeline.serve.servable import DEFAULT_SIGNATURE, Servable, Signature
from pipeline.serve.status import Code, ServingError, invalid

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"

_INPUTS = "inputs"
_OUTPUTS = "outputs"


async def classify(
    servable: Servable, request: classification_pb2.ClassificationRequest
) -> classification_pb2.ClassificationResponse:
    """Answers a Classify request.

    Raises:
        ServingError: INVALID_ARGUMENT for an unknown or unfit signature or an empty input.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _named(servable, name, CLASSIFY_METHOD)
    tensors = _class_tensors(signature)
    examples = _serialized(request.input)
    answers = await _run(servable, [signature], examples, tensors.values(), "Classify")
    response = classification_pb2.ClassificationResponse()
    fill_spec(response.model_spec, servable, name)
    fill_classes(response.result, tensors, answers, len(examples))
    return response


async def regress(
    servable: Servable, request: regression_pb2.RegressionRequest
) -> regression_pb2.RegressionResponse:
    """Answers a Regress request.

    Raises:
        ServingError: INVALID_ARGUMENT for an unknown or unfit signature or an empty input.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = _named(servable, name, REGRESS_METHOD)
    tensor = _value_tensor(signature)
    examples = _serialized(request.input)
    answers = await _run(servable, [signature], examples, [tensor], "Regress")
    response = regression_pb2.RegressionResponse()
    fill_spec(response.model_spec, servable, name)
    fill_values(response.result, answers[tensor], len(examples))
    return response


async def multi_inference(
    servable: Servable, request: inference_pb2.MultiInferenceRequest
) -> inference_pb2.MultiInferenceResponse:
    """Answers several classify and regress tasks on the same examples in one run.

    Raises:
        ServingError: As `classify` and `regress`; UNIMPLEMENTED for another method.
    """
    signatures: dict[str, Signature] = {}
    tensors: list[dict[str, str]] = []
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid(
                "All ModelSpecs in a MultiInferenceRequest must access the same model name."
            )
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            raise invalid(f"Requested signature not found in model graph: {name}")
        signatures[name] = servable.signatures[name]
        tensors.append(_task_tensors(servable, task.method_name, signatures[name]))
    examples = _serialized(request.input)
    fetches = [tensor for task_tensors in tensors for tensor in task_tensors.values()]
    answers = await _run(servable, list(signatures.values()), examples, fetches, "MultiInference")
    response = inference_pb2.MultiInferenceResponse()
    for name, task_tensors in zip(signatures, tensors, strict=True):
        result = response.results.add()
        fill_spec(result.model_spec, servable, name)
        if _OUTPUTS in task_tensors:
            values = answers[task_tensors[_OUTPUTS]]
            fill_values(result.regression_result, values, len(examples))
        else:
            fill_classes(result.classification_result, task_tensors, answers, len(examples))
    return response


def _task_tensors(servable: Servable, method: str, signature: Signature) -> dict[str, str]:
    if method == CLASSIFY_METHOD:
        _check_method(servable, signature, method)
        return _class_tensors(signature)
    if method == REGRESS_METHOD:
        _check_method(servable, signature, method)
        return {_OUTPUTS: _value_tensor(signature)}
    raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {method}")


def _named(servable: Servable, name: str, method: str) -> Signature:
    if name not in servable.signatures:
        raise invalid(f"No signature was found with the name: {name}")
    signature = servable.signatures[name]
    _check_method(servable, signature, method)
    return signature


def _check_method(servable: Servable, signature: Signature, method: str) -> None:
    if servable.check_methods and signature.proto.method_name != method:
        kind = "classification" if method == CLASSIFY_METHOD else "regression"
        raise invalid(
            f"Expected {kind} signature method_name to be {method}. "
            f"Was: {signature.proto.method_name}"
        )


def _class_tensors(signature: Signature) -> dict[str, str]:
    """Tensor names by `classes` and `scores`, as far as the signature has them."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in {1, 2}:
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if _INPUTS not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature.proto}")
    found = {key: signature.outputs[key] for key in (CLASSES, SCORES) if key in signature.outputs}
    if not found:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {signature.proto}'
        )
    return found


def _value_tensor(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if _INPUTS not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature.proto}")
    if _OUTPUTS not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature.proto}")
    return signature.outputs[_OUTPUTS]


def examples_of(given: input_pb2.Input) -> Sequence[example_pb2.Example]:
    """The examples, whichever way they are given."""
    with_context = given.WhichOneof("kind") == "example_list_with_context"
    found: Sequence[example_pb2.Example] = (
        given.example_list_with_context if with_context else given.example_list
    ).examples
    return found


def _serialized(given: input_pb2.Input) -> list[bytes]:
    """The examples as bytes; a context is put before each, and protobuf merges the two."""
    examples = examples_of(given)
    if not examples:
        raise invalid("Input is empty.")
    context = given.example_list_with_context.context.SerializeToString()
    return [context + example.SerializeToString() for example in examples]


async def _run(
    servable: Servable,
    signatures: Sequence[Signature],
    examples: list[bytes],
    fetches: Iterable[str],
    method: str,
) -> dict[str, Array]:
    servable.asked(examples)
    array = np.array(examples, object)
    feeds = {signature.inputs[_INPUTS]: array for signature in signatures}
    names = list(dict.fromkeys(fetches))
    results = await servable.run(feeds, names, method)
    return dict(zip(names, results, strict=True))
