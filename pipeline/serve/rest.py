"""The API over REST: http_rest_api_handler.cc as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
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
from pipeline.serve.limits import NEVER
from pipeline.serve.options import RestOptions
from pipeline.serve.predict import check_method, run_signature
from pipeline.serve.rest_body import (
    BodyTooLargeError,
    Receive,
    Scope,
    Send,
    is_packed,
    read_body,
    unpacked,
)
from pipeline.serve.runs import Results, Run, drive
from pipeline.serve.servable import DEFAULT_SIGNATURE
from pipeline.serve.status import HTTP_STATUS, Code, ServingError, invalid

log = logging.getLogger(__name__)

_MODEL = r"(?i)/v1/models/(?P<name>[^/:]+)"
_CHOICE = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"{_MODEL}{_CHOICE}:(?P<method>classify|regress|predict)", re.ASCII)
_GET = re.compile(
    rf"(?i)/v1/models(?:/(?P<name>[^/:]+))?{_CHOICE}(?:/(?P<metadata>metadata))?", re.ASCII
)
_API = re.compile(r"(?i)/v1/.*", re.DOTALL)
_JSON = (b"content-type", b"application/json")
_TEXT = (b"content-type", b"text/plain")
_CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)
_LARGEST_VERSION = 2**63 - 1
_SMALL_BYTES = 2**14
"""A body is read beside the connections up to this size, above it in a thread of the pool."""

Reply = tuple[int, bytes]
"""HTTP status and body."""


@dataclass(frozen=True)
class Rest:
    """The application.

    Attributes:
        api: Answers.
        pool: Threads that the answers are made in.
        options: Limits, and what else is answered.
    """

    api: Api
    pool: Executor
    options: RestOptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; `lifespan` and websockets are not served."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        try:
            async with asyncio.timeout(self.options.timeout_seconds) as limit:
                body = await read_body(receive, self.options, limit)
                status, answer = await self._driven(
                    self.answer(scope["method"], _path(scope), body, headers),
                    takes_long=len(body) > _SMALL_BYTES or is_packed(headers),
                )
        except BodyTooLargeError as error:
            status, answer = _refusal(error)
        except TimeoutError:
            status, answer = 504, _error("Timed out waiting for the answer.")
        await self._send(send, status, answer, _TEXT if _path(scope) == self._page else _JSON)

    def _driven(
        self, answer: Coroutine[Run, Results, Reply], *, takes_long: bool
    ) -> asyncio.Future[Reply]:
        """The answer, made in the threads of the pool where it takes long.

        For a small request the way there and back would cost more than reading it here.
        """
        seconds = self.options.timeout_seconds
        deadline = NEVER if seconds is None else time.monotonic() + seconds
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()

        def give(reply: Reply) -> None:
            if not future.done():  # nobody waits for it any more
                future.set_result(reply)

        async def deliver() -> None:
            loop.call_soon_threadsafe(give, await answer)

        if takes_long:
            self.pool.submit(drive, deliver(), None, deadline)
        else:
            drive(deliver(), self.pool, deadline)
        return future

    @property
    def _page(self) -> str | None:
        return self.options.metrics_path

    async def _send(
        self, send: Send, status: int, answer: bytes, kind: tuple[bytes, bytes]
    ) -> None:
        headers = [kind, (b"content-length", str(len(answer)).encode())]
        headers += _CORS if self.options.cors else ()
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    async def answer(
        self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]
    ) -> Reply:
        """HTTP status and JSON text for one request."""
        if path == self._page:
            return 200, self.api.metrics.page()
        if not _API.fullmatch(path):
            return 404, _error("Not Found")
        try:
            if method == "OPTIONS":
                return _preflight(headers)
            if is_packed(headers):
                body = unpacked(body, self.options.max_body_bytes)
            return 200, await self._counted(method, path, body)
        except (BodyTooLargeError, ServingError) as error:
            return _refusal(error)
        except Exception:
            # The client learns nothing about the inside; the log says everything.
            log.exception("%s %s failed", method, path)
            return 500, _error("internal error, see the server's log")

    async def _counted(self, method: str, path: str, body: bytes) -> bytes:
        pattern = {"POST": _POST, "GET": _GET}.get(method)
        found = pattern.fullmatch(path) if pattern else None
        parts = found.groupdict() if found else {}
        with self.api.metrics.request(
            _decoded(parts.get("name") or ""), parts.get("method") or "", "REST"
        ):
            if found is None:
                raise invalid(f"Malformed request: {method} {path}")
            return await self._answer(method, path, found, body)

    async def _answer(self, method: str, path: str, found: re.Match[str], body: bytes) -> bytes:
        spec = _model_spec(found)
        if method == "GET":
            if not spec.name:
                raise invalid("Missing model name in request.")
            return self._metadata(spec) if found["metadata"] == "metadata" else self._status(spec)
        match found["method"]:
            case "predict":
                return await self._predict(spec, body)
            case "classify":
                request = classification_pb2.ClassificationRequest(model_spec=spec)
                fill_examples(body, request)
                return class_answer((await self.api.classify(request)).result)
            case "regress":
                regression = regression_pb2.RegressionRequest(model_spec=spec)
                fill_examples(body, regression)
                return value_answer((await self.api.regress(regression)).result)
        # The address is matched whatever its case, the method is not: as in the real server.
        raise invalid(f"Malformed request: {method} {path}")

    async def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> bytes:
        # Read before the model is looked up, so that a malformed body is told first.
        document = parse(body)
        name = signature_name(document) or DEFAULT_SIGNATURE
        with self.api.manager.servable(spec) as servable:
            signature = servable.signatures.get(name)
            if signature is None:
                raise invalid(f'Serving signature name: "{name}" not found in signature def')
            asked = predict_request(document, signature.dtypes)
            check_method(servable, signature)
            arrays = await run_signature(servable, signature, asked.arrays)
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


def _path(scope: Scope) -> str:
    """The path as it was sent, percent signs and question included, as the real server takes it."""
    path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    return (path + b"?" + query if query else path).decode("latin-1")


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.encode("latin-1")).decode("utf-8", "replace")


def _preflight(headers: dict[bytes, bytes]) -> tuple[int, bytes]:
    if re.search(rb"https?://", headers.get(b"origin", b"")):
        return 200, b""
    raise ServingError(Code.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")


def _error(message: str) -> bytes:
    return error_answer(invalid(message))


def _refusal(error: BodyTooLargeError | ServingError) -> Reply:
    if isinstance(error, ServingError):
        return HTTP_STATUS[error.code], error_answer(error)
    return 413, _error("The request body is too large.")
