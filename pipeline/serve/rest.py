"""The API over REST: http_rest_api_handler.cc as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass

from tensorflow_serving.apis import classification_pb2, model_pb2, regression_pb2

from pipeline.serve.api import Api
from pipeline.serve.json_answers import class_answer, columnar_answer, row_answer, value_answer
from pipeline.serve.json_requests import fill_examples, predict_request, signature_name
from pipeline.serve.json_text import parse
from pipeline.serve.limits import NEVER
from pipeline.serve.options import RestOptions
from pipeline.serve.predict import check_given, check_method, run_signature
from pipeline.serve.rest_body import (
    BodyTooLargeError,
    Receive,
    Scope,
    Send,
    is_packed,
    read_body,
    unpacked,
)
from pipeline.serve.rest_models import metadata_answer, status_answer
from pipeline.serve.rest_paths import bare, decoded, is_api, is_uri, model_spec, path_of
from pipeline.serve.rest_paths import parse as parse_path
from pipeline.serve.rest_replies import CORS, TEXT, Reply, failure, page, refusal, unnamed
from pipeline.serve.runs import Results, Run, drive, here
from pipeline.serve.servable import DEFAULT_SIGNATURE
from pipeline.serve.status import Code, ServingError, invalid

log = logging.getLogger(__name__)

_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
_ORIGIN = re.compile(rb"https?://")
_SMALL_BYTES = 2**14
"""A body is read beside the connections up to this size, above it in a thread of the pool."""


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
        path = path_of(scope)
        try:
            async with asyncio.timeout(self.options.timeout_seconds) as limit:
                body = await read_body(receive, self.options, limit)
                reply = await self._driven(
                    self.answer(scope["method"], path, body, headers),
                    takes_long=len(body) > _SMALL_BYTES or is_packed(headers),
                )
        except BodyTooLargeError as error:
            reply = refusal(error)
        except TimeoutError:
            reply = failure(504, "Timed out waiting for notification")
        await _send(send, reply, cors=self.options.cors and is_api(path))

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
            self.pool.submit(drive, deliver(), here, deadline)
        else:
            drive(deliver(), lambda _run: self.pool, deadline)
        return future

    async def answer(
        self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]
    ) -> Reply:
        """The answer to one request."""
        other = self._beside_the_api(method, path)
        if other:
            return other
        try:
            return await self._counted(method, path, body, headers)
        except ServingError as error:
            return refusal(error) if method != "OPTIONS" else unnamed(400)
        except Exception:
            # The client learns nothing about the inside; the log says everything.
            log.exception("%s %s failed", method, path)
            return failure(500, "internal error, see the server's log")

    def _beside_the_api(self, method: str, path: str) -> Reply | None:
        """The answer where the API is not asked, in the order of the real server's checks."""
        expected = self.options.metrics_path
        if method not in _METHODS:
            return page(501)
        if not is_uri(path):
            return page(400)
        if expected is None or bare(path) != expected:
            return None if is_api(path) else page(404)
        if path != expected:
            words = f"Unexpected path: {path}. Should be {expected}"
            return Reply(400, words.encode(), TEXT)
        return Reply(200, self.api.metrics.page(), TEXT)

    async def _counted(
        self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]
    ) -> Reply:
        parts = parse_path(method, path)
        with self.api.metrics.request(
            decoded(parts.get("name", "")), parts.get("method", ""), "REST"
        ):
            if method == "OPTIONS":
                # Browsers ask so before they ask across origins.
                if not _ORIGIN.search(headers.get(b"origin", b"")):
                    raise ServingError(Code.FAILED_PRECONDITION, "no Origin header")
                return unnamed(200)
            if not parts:
                raise invalid(f"Malformed request: {method} {path}")
            if is_packed(headers):
                body = unpacked(body, self.options.max_body_bytes)
            return Reply(200, await self._answer(method, path, parts, body))

    async def _answer(self, method: str, path: str, parts: dict[str, str], body: bytes) -> bytes:
        spec = model_spec(parts)
        if method == "GET":
            if not spec.name:
                raise invalid("Missing model name in request.")
            # The address is matched whatever its case, its last word is not.
            wants_metadata = parts["metadata"] == "metadata"
            return (metadata_answer if wants_metadata else status_answer)(self.api, spec)
        match parts["method"]:
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
            check_given(signature, asked.arrays)
            arrays = await run_signature(servable, signature, asked.arrays)
        return row_answer(arrays) if asked.format == "row" else columnar_answer(arrays)


async def _send(send: Send, reply: Reply, *, cors: bool) -> None:
    headers = [*reply.headers, (b"content-length", str(len(reply.body)).encode())]
    headers += CORS if cors else ()
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
