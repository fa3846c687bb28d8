"""HTTP/1.1 as uvicorn speaks it, with limits on what comes before a body.

uvicorn waits for ever for a request's head, and keeps any amount of it.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pipeline.serve.rest_replies import Reply, page

_MOST_HEAD_BYTES = 2**16
_CLOSING = ((b"connection", b"close"),)
_TOO_LARGE = Reply(431, headers=_CLOSING)
_TOO_SLOW = Reply(408, headers=_CLOSING)


class LimitedProtocol(HttpToolsProtocol):
    """One connection, closed when a request's head is too large or takes too long.

    Args:
        head_seconds: Longest that a new connection may be silent, and that a head may take; None
            sets no limit.
        settings: What uvicorn gives.
    """

    def __init__(self, head_seconds: float | None, **settings: Any) -> None:
        super().__init__(**settings)
        self._head_seconds = head_seconds
        self._head_bytes = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock runs from here on."""
        super().connection_made(transport)
        self._start_clock()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._start_clock()

    def _start_clock(self) -> None:
        self._stop_clock()
        self._in_head, self._head_bytes = True, 0
        if self._head_seconds is not None:
            self._timer = self.loop.call_later(self._head_seconds, self._refuse, _TOO_SLOW)

    def _stop_clock(self) -> None:
        self._in_head = False
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def data_received(self, data: bytes) -> None:
        """More of a head, a body, or several requests."""
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEAD_BYTES:
                self._refuse(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._stop_clock()
        super().on_headers_complete()
        _, mark, fragment = self.url.partition(b"#")
        if not mark:
            return
        # uvicorn leaves it out; the real server takes it for a part of the path.
        if self.scope["query_string"]:
            self.scope["query_string"] += mark + fragment
        else:
            self.scope["raw_path"] += mark + fragment

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """A client may have sent all it will send, and still wait for its answer."""
        waits = self.cycle and not self.cycle.more_body and not self.cycle.response_complete
        return bool(waits and self.scheme == "http")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_clock()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words for it
        """What came is no HTTP."""
        self._refuse(page(400))

    def _refuse(self, reply: Reply) -> None:
        self._stop_clock()
        if not self.transport.is_closing():
            lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}".encode()]
            headers = (*reply.headers, (b"content-length", str(len(reply.body)).encode()))
            lines += [name + b": " + value for name, value in headers]
            self.transport.write(b"\r\n".join([*lines, b"", reply.body]))
            self.transport.close()
