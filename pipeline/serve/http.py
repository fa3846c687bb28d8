"""HTTP/1.1 as uvicorn speaks it, with limits on what comes before a body.

uvicorn waits for ever for a request's head, and keeps any amount of it.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_HEAD_BYTES = 2**16
_TOO_LARGE = b"431 Request Header Fields Too Large"
_TOO_SLOW = b"408 Request Timeout"


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

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_clock()
        super().connection_lost(exc)

    def _refuse(self, status: bytes) -> None:
        self._stop_clock()
        if not self.transport.is_closing():
            head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            self.transport.write(head)
            self.transport.close()
