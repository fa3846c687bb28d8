"""Unary gRPC methods answered in the threads that receive them.

grpc's own Python server hands each request from the thread that polls to a pool and back again,
four changes of thread that cost more than a small model does. Here every thread polls the one
completion queue and answers what it gets. What is below, HTTP/2, TLS, limits and time limits, is
gRPC's C core as ever; methods not named here go on to grpc's own server.

`grpc._cython.cygrpc` is what grpc's own Python server is written on. It has no documentation; its
`_server.py` is the example followed here.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from pipeline.serve.status import Code, ServingError

log = logging.getLogger(__name__)

_NO_FLAGS = 0


class Call:
    """One call: its message, and one answer.

    Attributes:
        message: What the client sent.
        deadline: When it waits no longer, by `time.monotonic`.
    """

    def __init__(self, core: Any, deadline: float) -> None:
        self.message: bytes = b""
        self._core = core
        self.deadline = time.monotonic() + deadline - time.time()
        self._cancelled = False

    @property
    def is_over(self) -> bool:
        """Whether the client has given up, or its time limit has passed."""
        return self._cancelled or time.monotonic() > self.deadline

    def answer(self, message: bytes) -> None:
        """Sends the answer."""
        self._send(Code.OK, "", cygrpc.SendMessageOperation(message, _NO_FLAGS))

    def refuse(self, error: ServingError) -> None:
        """Sends an error instead."""
        self._send(error.code, error.grpc_message)

    def _send(self, code: Code, text: str, *message: Any) -> None:
        # One batch of operations, so that all leaves in one packet.
        status = cygrpc.SendStatusFromServerOperation(None, int(code), text.encode(), _NO_FLAGS)
        start = cygrpc.SendInitialMetadataOperation(None, _NO_FLAGS)
        self._core.start_server_batch((status, start, *message), _done)
        del self._core  # the core waits for calls that are still held when it ends

    def receive(self, then: Callable[[], None]) -> None:
        """Waits for the message, and beside it for the end of the call."""

        def received(event: Any) -> None:
            message = event.batch_operations[0].message()
            if message is None:  # or it went away, or sent too much, and hears of this no more
                self.refuse(ServingError(Code.UNIMPLEMENTED, "exactly one message is required"))
            else:
                self.message = message
                then()

        def closed(event: Any) -> None:
            self._cancelled = event.batch_operations[0].cancelled()

        self._core.start_server_batch((cygrpc.ReceiveCloseOnServerOperation(_NO_FLAGS),), closed)
        self._core.start_server_batch((cygrpc.ReceiveMessageOperation(_NO_FLAGS),), received)


def _done(_event: Any) -> None:
    """What was sent has left."""


class Calls:
    """Answers the calls of some methods.

    Args:
        server: A server that is not started yet.
        methods: What answers the calls of a method, by its path, such as `/package.Service/Name`;
            it may leave the answer to another thread.
        threads: How many threads answer.
    """

    def __init__(
        self, server: grpc.Server, methods: Mapping[str, Callable[[Call], None]], threads: int
    ) -> None:
        self._core: Any = server._cy_server  # type: ignore[attr-defined]
        self._methods = methods
        self._queue = cygrpc.CompletionQueue()
        self._core.register_completion_queue(self._queue)
        for path in methods:
            self._core.register_method(path)
        self._threads = [
            threading.Thread(target=self._serve, name="grpc", daemon=True) for _ in range(threads)
        ]

    def start(self) -> None:
        """Begins to answer; the server has been started."""
        for path in self._methods:
            self._request(path)
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Ends the threads; the server has ended."""
        self._queue.shutdown()
        for thread in self._threads:
            thread.join()

    def _request(self, path: str) -> None:
        """Says that one more call of a method would be welcome."""

        def called(event: Any) -> None:
            if not event.success:  # the server ends
                return
            self._request(path)
            call = Call(event.call, event.call_details.deadline)
            call.receive(lambda: self._methods[path](call))

        with contextlib.suppress(ValueError):  # the server ends
            self._core.request_registered_call(self._queue, self._queue, path, called)

    def _serve(self) -> None:
        while True:
            event = self._queue.poll()
            if event.completion_type == cygrpc.CompletionType.queue_shutdown:
                return
            try:
                event.tag(event)
            except Exception:  # one call's trouble is none of the next one's
                log.exception("a gRPC call failed")
            del event  # what it holds must not outlive it
