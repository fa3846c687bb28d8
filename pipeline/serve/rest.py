"""The API over REST: http_rest_api_handler.cc as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from google.protobuf.json_format import MessageToJson  # type: ignore[import-untyped]
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from pipeline.serve.api import SIGNATURE_DEF, Api
from pipeline.serve.json_answers import (
    class_answer,
    columnar_answer,
    error_answer,
    row_answer,
    value_answer,
)
from pipeline.serve.json_requests import fill_examples, predict_request, signature_name
from pipeline.serve.json_text import parse
from pipeline.serve.predict import run_signature
from pipeline.serve.servable import DEFAULT_SIGNATURE
from pipeline.serve.status import HTTP_STATUS, Code, ServingError, invalid

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_MODEL = r"(?i)/v1/models/(?P<name>[^/:]+)"
_CHOICE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"{_MODEL}{_CHOICE}:(?P<method>classify|regress|predict)", re.ASCII)
_GET = re.compile(
    rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?:/(?P<metadata>metadata))?", re.ASCII
)
_API = re.compile(r"(?i)/v1/.*", re.DOTALL)
_JSON = (b"content-type", b"application/json")
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)
_LARGEST_VERSION = 2**63 - 1


@dataclass(frozen=True)
class Rest:
    """The application.

    Attributes:
        api: Answers.
        pool: Threads that the answers are made in.
        max_body_bytes: Largest body taken.
        timeout_seconds: Longest that an answer may take; None sets no limit.
        cors: Whether browsers of other origins may ask.
    """

    api: Api
    pool: Executor
    max_body_bytes: int
    timeout_seconds: float | None = None
    cors: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; `lifespan` and websockets are not served."""
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode("latin-1")
        body = await self._body(receive)
        if body is None:
            await self._send(send, 413, _error("The request body is too large."))
            return
        made = asyncio.get_running_loop().run_in_executor(
            self.pool, self.answer, scope["method"], path, body, dict(scope["headers"])
        )
        try:
            status, answer = await asyncio.wait_for(made, self.timeout_seconds)
        except TimeoutError:
            status, answer = 504, _error("Timed out waiting for the answer.")
        await self._send(send, status, answer)

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None as soon as it is too large."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size > self.max_body_bytes:
                return None
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)

    async def _send(self, send: Send, status: int, answer: bytes) -> None:
        headers = [_JSON, (b"content-length", str(len(answer)).encode())]
        headers += _CORS if self.cors else ()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def answer(
        self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]
    ) -> tuple[int, bytes]:
        """HTTP status and JSON text for one request."""
        if not _API.fullmatch(path):
            return 404, _error("Not Found")
        try:
            if method == "OPTIONS":
                return _preflight(headers)
            return 200, self._answer(method, path, body)
        except ServingError as error:
            return HTTP_STATUS[error.code], error_answer(error)
        except Exception:
            # The client learns nothing about the inside; the log says everything.
            log.exception("%s %s failed", method, path)
            return 500, _error("internal error, see the server's log")

    def _answer(self, method: str, path: str, body: bytes) -> bytes:
        pattern = {"POST": _POST, "GET": _GET}.get(method)
        found = pattern.fullmatch(path) if pattern else None
        if found is None:
            raise invalid(f"Malformed request: {method} {path}")
        spec = _model_spec(found)
        if method == "GET":
            if not spec.name:
                raise invalid("Missing model name in request.")
            return self._metadata(spec) if found["metadata"] else self._status(spec)
        match found["method"].lower():
            case "predict":
                return self._predict(spec, body)
            case "classify":
                request = classification_pb2.ClassificationRequest(model_spec=spec)
                fill_examples(body, request)
                return class_answer(self.api.classify(request).result)
            case _:
                regression = regression_pb2.RegressionRequest(model_spec=spec)
                fill_examples(body, regression)
                return value_answer(self.api.regress(regression).result)

    def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        # Read before the model is looked up, so that a malformed body is told first.
        document = parse(body)
        name = signature_name(document) or DEFAULT_SIGNATURE
        with self.api.manager.servable(spec) as servable:
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            asked = predict_request(document, signature.dtypes)
            arrays = run_signature(servable, signature, asked.arrays)
        return row_answer(arrays) if asked.format == "row" else columnar_answer(arrays)

    def _status(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_status_pb2.GetModelStatusRequest(model_spec=spec)
        text: str = MessageToJson(
            self.api.status(request), always_print_fields_with_no_presence=True, indent=1
        )
        return text.encode()

    def _metadata(self, spec: model_pb2.ModelSpec) -> bytes:
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=[SIGNATURE_DEF]
        )
        response = self.api.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[SIGNATURE_DEF].Unpack(signatures)
        texts = [
            MessageToJson(
                message,
                always_print_fields_with_no_presence=True,
                preserving_proto_field_name=True,
                indent=1,
            )
            for message in (response.model_spec, signatures)
        ]
        return (
            f'{{\n"model_spec":{texts[0]},\n"metadata": {{"signature_def": {texts[1]}}}\n}}\n'
        ).encode()


def _model_spec(found: re.Match[str]) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=_decoded(found["name"] or ""))
    if found["version"]:
        if int(found["version"]) > _LARGEST_VERSION:
            raise invalid(f"Failed to convert version: {found['version']} to numeric.")
        spec.version.value = int(found["version"])
    elif found["label"]:
        spec.version_label = _decoded(found["label"])
    return spec


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")


def _preflight(headers: dict[bytes, bytes]) -> tuple[int, bytes]:
    if re.search(rb"https?://", headers.get(b"origin", b"")):
        return 200, b""
    raise ServingError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")


def _error(message: str) -> bytes:
    return error_answer(invalid(message))
