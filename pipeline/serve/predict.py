"""Predict on one loaded version.

Checks, their order, codes and texts are those of TensorFlow Serving's predict_util.cc.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_serving.apis import model_pb2, predict_pb2

from pipeline.serve.dtypes import Array, dtype_name, enum_of
from pipeline.serve.servable import DEFAULT_SIGNATURE, Servable, Signature
from pipeline.serve.status import Code, ServingError, invalid
from pipeline.serve.tensor_reader import to_array
from pipeline.serve.tensor_writer import fill_content, fill_proto

METHODS = (
    "tensorflow/serving/predict",
    "tensorflow/serving/classify",
    "tensorflow/serving/regress",
)


async def predict(
    servable: Servable, request: predict_pb2.PredictRequest, *, as_content: bool = False
) -> predict_pb2.PredictResponse:
    """Answers a Predict request.

    Args:
        servable: The version asked.
        request: The request.
        as_content: Whether to answer with packed bytes in place of typed value fields.

    Raises:
        ServingError: FAILED_PRECONDITION for an unknown signature, INVALID_ARGUMENT for inputs
            or an output filter that do not fit it, or what an op said.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise ServingError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    check_method(servable, signature)
    given = dict(request.inputs)
    check_given(signature, given)
    arrays = _arrays(given)
    answers = await run_signature(servable, signature, arrays, request.output_filter)
    response = predict_pb2.PredictResponse()
    fill_spec(response.model_spec, servable, name)
    fill = fill_content if as_content else fill_proto
    for alias, array in answers.items():
        fill(response.outputs[alias], array)
    return response


def check_method(servable: Servable, signature: Signature) -> None:
    """Raises INTERNAL where the server checks methods and the signature's is none of its."""
    method = signature.proto.method_name
    if servable.check_methods and method not in METHODS:
        raise ServingError(
            Code.INTERNAL,
            "Expected prediction signature method_name to be one of "
            f"{{{', '.join(METHODS)}}}. Was: {method}",
        )


def check_given(signature: Signature, given: Mapping[str, Any]) -> None:
    """Checks the names of inputs.

    Raises:
        ServingError: INVALID_ARGUMENT: names are missing that have no default, or are unknown.
    """
    wanted = signature.inputs
    if given.keys() == wanted.keys():
        return
    defaults = signature.proto.defaults
    sent, known = sorted(given), sorted(wanted)
    extra = ",".join(sorted(set(sent) - set(known)))
    missing = ",".join(sorted(set(known) - set(sent)))
    if len(sent) > len(known) or (len(sent) < len(known) and not defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} "
            f"len({{{','.join(sent)}}}) != len({{{','.join(known)}}}). "
            f"Sent extra: {{{extra}}}. Missing but required: {{{missing}}}."
        )
    for alias in known:
        if alias not in given and alias not in defaults:
            raise invalid(
                f"Signature input alias: {alias}(feed name: {wanted[alias]}) not found in request "
                "and no default value provided. Inputs expected to be in the request "
                f"{{{','.join(sent)}}}, or default input alias set: {','.join(sorted(defaults))}"
            )
    if extra:
        used = ",".join(alias for alias in sent if alias in wanted)
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {used}, "
            f"request input: {','.join(sent)}"
        )


def _arrays(protos: Mapping[str, Any]) -> dict[str, Array]:
    arrays = {}
    for alias, proto in protos.items():
        try:
            arrays[alias] = to_array(proto)
        except (ValueError, OverflowError) as error:
            raise invalid(f"tensor parsing error: {alias}") from error
    return arrays


async def run_signature(
    servable: Servable,
    signature: Signature,
    arrays: Mapping[str, Array],
    output_filter: Sequence[str] = (),
) -> dict[str, Array]:
    """Runs a signature on arrays by input alias; returns arrays by output alias.

    Raises:
        ServingError: See `predict`.
    """
    fed = arrays
    if len(arrays) < len(signature.inputs):
        defaults = signature.proto.defaults
        missing = signature.inputs.keys() - arrays.keys()
        fed = {**arrays, **_arrays({alias: defaults[alias] for alias in missing})}
    feeds = {name: fed[alias] for alias, name in signature.inputs.items()}
    wanted = _chosen(signature, output_filter) if output_filter else signature.outputs
    _check_kinds(signature, feeds)
    servable.asked(arrays)
    results = await servable.run(feeds, tuple(wanted.values()))
    return dict(zip(wanted, results, strict=True))


def _check_kinds(signature: Signature, feeds: Mapping[str, Array]) -> None:
    """Raises what DirectSession::Run says where a tensor is of another dtype.

    The session callables used here say it otherwise. Arguments are counted by tensor name.
    """
    if {name: array.dtype for name, array in feeds.items()} == signature.kinds:
        return
    for position, (name, array) in enumerate(sorted(feeds.items())):
        if array.dtype != signature.kinds[name]:
            alias = next(key for key, value in signature.inputs.items() if value == name)
            wanted, given = dtype_name(signature.dtypes[alias]), dtype_name(enum_of(array))
            raise invalid(f"Expects arg[{position}] to be {wanted} but {given} is provided")


def _chosen(signature: Signature, output_filter: Sequence[str]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for alias in output_filter:
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} "
                f"Outputs expected to be in the set {{{','.join(sorted(signature.outputs))}}}."
            )
        if alias in chosen:
            raise invalid(f"duplicate output tensor alias: {alias}")
        chosen[alias] = signature.outputs[alias]
    return chosen


def fill_spec(spec: model_pb2.ModelSpec, servable: Servable, signature_name: str) -> None:
    """Says in an answer who gave it."""
    spec.name = servable.name
    spec.version.value = servable.version
    spec.signature_name = signature_name
