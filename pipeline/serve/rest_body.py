"""Reading the body of a REST request: never more of it than is allowed, packed or not."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from pipeline.serve.options import RestOptions
from pipeline.serve.status import Code, ServingError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_GZIP = 16 + zlib.MAX_WBITS


class BodyTooLargeError(ServingError):
    """The body, as sent or unpacked, is larger than allowed; 413, a status of HTTP alone."""

    def __init__(self) -> None:
        super().__init__(Code.INVALID_ARGUMENT, "The request body is too large.")


async def read_body(receive: Receive, options: RestOptions, limit: asyncio.Timeout) -> bytes:
    """The whole body, as it was sent.

    Args:
        receive: Gives the next part.
        options: Limits.
        limit: Put off with every part: a large body on a slow line may take longer as a whole.

    Raises:
        BodyTooLargeError: As soon as it is larger than allowed.
        TimeoutError: The client went away.
    """
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise TimeoutError
        part = message.get("body", b"")
        size += len(part)
        if size > options.max_body_bytes:
            raise BodyTooLargeError
        parts.append(part)
        more = message.get("more_body", False)
        if options.timeout_seconds is not None and more:
            limit.reschedule(asyncio.get_running_loop().time() + options.timeout_seconds)
    return b"".join(parts)


def is_packed(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a body was sent with `Content-Encoding: gzip`."""
    return b"gzip" in headers.get(b"content-encoding", b"")


def unpacked(body: bytes, largest: int) -> bytes:
    """A packed body; empty where it cannot be unpacked, as in the real server.

    Raises:
        BodyTooLargeError: It is larger than allowed.
    """
    unpacker = zlib.decompressobj(_GZIP)
    try:
        unpacked = unpacker.decompress(body, largest)
    except zlib.error:
        return b""
    if unpacker.unconsumed_tail:
        raise BodyTooLargeError
    return unpacked if unpacker.eof else b""
