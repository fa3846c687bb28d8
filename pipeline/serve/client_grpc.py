"""Asking a TensorFlow Serving endpoint over gRPC. Importing this imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from pipeline.core.errors import PipelineError
from pipeline.serve.client_rest import NOT_SERVED
from pipeline.serve.exchange import Array, SignatureFacts, TensorFacts
from pipeline.serve.retry import Passing, Patience
from pipeline.serve.signature_facts import decoded, signature_facts
from pipeline.serve.tensor_reader import to_array
from pipeline.serve.tensor_writer import fill_proto

T = TypeVar("T")

_PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED}
_SIGNATURE_DEF = "signature_def"
_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class GrpcEndpoint:
    """One model behind `grpc://` (plain) or `grpcs://` (TLS).

    Args:
        url: Scheme, host and port.
        model: Model name.
        version: Version number or None.
        label: Version label or None.
        patience: Time limits and retries.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        scheme, _, target = url.partition("://")
        self.url = url
        self._target = target.rstrip("/")
        self._spec = model_pb2.ModelSpec(name=model)
        if label is not None:
            self._spec.version_label = label
        elif version is not None:
            self._spec.version.value = version
        self._patience = patience or Patience()
        if scheme == "grpcs":
            credentials = grpc.ssl_channel_credentials()
            self._channel = grpc.secure_channel(self._target, credentials, options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(self._target, options=_OPTIONS)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def signature(self, name: str) -> SignatureFacts:
        """What the server says of a signature.

        Raises:
            PipelineError: No server answers, or it knows no such model or signature.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec, metadata_field=[_SIGNATURE_DEF]
        )
        response = self._answer(self._stub.GetModelMetadata, request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[_SIGNATURE_DEF].Unpack(signatures)
        if name not in signatures.signature_def:
            known = sorted(key for key in signatures.signature_def if not key.startswith("__"))
            raise PipelineError(
                f"the model has no signature '{name}'", f"one of {', '.join(known)}"
            )
        return signature_facts(signatures.signature_def[name])

    def predict(
        self, name: str, arrays: Mapping[str, Array], outputs: Mapping[str, TensorFacts]
    ) -> dict[str, Array]:
        """Sends one request; see `RestEndpoint.predict`.

        Raises:
            PipelineError: No server answers, or it refuses the request; in its own words.
        """
        request = predict_pb2.PredictRequest(model_spec=self._spec)
        request.model_spec.signature_name = name
        for key, array in arrays.items():
            fill_proto(request.inputs[key], _encoded(array))
        response = self._answer(self._stub.Predict, request)
        return {key: decoded(to_array(response.outputs[key])) for key in outputs}

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _answer(self, method: Callable[..., T], request: Any) -> T:
        try:
            return self._patience.call(lambda: self._ask(method, request))
        except Passing as error:
            raise PipelineError(
                f"no answer from {self.url}: {error}",
                expected="a TensorFlow Serving endpoint",
                remedy="start one with `pipeline serve`, or correct --url",
            ) from error

    def _ask(self, method: Callable[..., T], request: Any) -> T:
        try:
            return method(request, timeout=self._patience.timeout_seconds)
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            if code in _PASSING:
                raise Passing(f"{code.name}: {details}") from error
            raise PipelineError(
                f"the server refused: {details} ({code.name})",
                remedy=NOT_SERVED
                if code is grpc.StatusCode.NOT_FOUND
                else "compare the table with the model's metadata",
            ) from error


def _encoded(array: Array) -> Array:
    if array.dtype != object:
        return array
    flat = [word.encode("utf-8") for word in array.ravel().tolist()]
    return np.array(flat, object).reshape(array.shape)
