"""Load on a server from a process of its own: so many clients at a time, each waits for its answer.

    python benchmarks/serving_load.py grpc 127.0.0.1:8500 REQUEST --clients 32 --seconds 5
    python benchmarks/serving_load.py http 127.0.0.1:8501 REQUEST --path /v1/models/m:predict

REQUEST is a file: a serialised PredictRequest, or an HTTP body. Prints one line of JSON: requests,
failed, per second, p50 and p99 in milliseconds.

Both protocols are spoken with the fewest steps there are, over one socket a client: grpcio's own
client takes more of the machine than the server that is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

Ask = Callable[[], Awaitable[bool]]
"""Sends one request; says whether it was answered well."""
_METHOD = b"/tensorflow.serving.PredictionService/Predict"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_FRAME = 2**14
_WINDOW_BYTES = 2**31 - 1


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def header(name: bytes, value: bytes) -> bytes:
    """A header field that nobody has to remember (RFC 7541, 6.2.2); both sides below 127 bytes."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


async def grpc_client(stack: AsyncExitStack, address: str, request: bytes) -> Ask:
    """A connection of its own, one call after the other."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
    stack.callback(writer.close)
    # The server may send as much as it likes: no server table for headers, the largest windows.
    settings = struct.pack(">HIHI", 1, 0, 4, _WINDOW_BYTES)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, settings))
    writer.write(frame(_WINDOW, 0, 0, struct.pack(">I", _WINDOW_BYTES - 2**16 + 1)))
    fields = [(b":authority", address.encode()), (b":path", _METHOD)]
    fields += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    # The first two are `:method: POST` and `:scheme: http` of the table that all clients know.
    head = b"\x83\x86" + b"".join(header(*field) for field in fields)
    message = struct.pack(">BI", 0, len(request)) + request
    pieces = [message[begin : begin + _FRAME] for begin in range(0, len(message), _FRAME)]
    streams = itertools.count(1, 2)

    async def ask() -> bool:
        stream = next(streams)
        frames = [frame(_HEADERS, _END_HEADERS, stream, head)]
        frames += [frame(_DATA, 0, stream, piece) for piece in pieces[:-1]]
        writer.write(b"".join([*frames, frame(_DATA, _END_STREAM, stream, pieces[-1])]))
        while True:
            start = await reader.readexactly(9)
            size, kind, flags = int.from_bytes(start[:3]), start[3], start[4]
            body = await reader.readexactly(size)
            if kind in {_SETTINGS, _PING} and not flags & _ACK:
                writer.write(frame(kind, _ACK, 0, body if kind == _PING else b""))
            elif kind in {_RESET, _GOAWAY}:
                return False
            elif kind == _HEADERS and flags & _END_STREAM:
                return b"grpc-status\x010" in body

    return ask


async def http_client(stack: AsyncExitStack, address: str, path: str, body: bytes) -> Ask:
    """A kept connection, HTTP/1.1."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=2**24)
    stack.callback(writer.close)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()

    async def ask() -> bool:
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
        await reader.readexactly(int(fields[b"content-length"]))
        return b" 200 " in answer.split(b"\r\n", 1)[0]

    return ask


async def load(options: argparse.Namespace) -> dict[str, float]:
    """Asks until the time is up; the first tenth of it warms up and is not counted."""
    request = Path(options.request).read_bytes()
    times: list[float] = []
    failed = 0
    async with AsyncExitStack() as stack:
        asks = [
            await (
                grpc_client(stack, options.address, request)
                if options.protocol == "grpc"
                else http_client(stack, options.address, options.path, request)
            )
            for _ in range(options.clients)
        ]
        began = time.perf_counter()
        counted, end = began + 0.1 * options.seconds, began + options.seconds

        async def keep_asking(ask: Ask) -> None:
            nonlocal failed
            while (start := time.perf_counter()) < end:
                well = await ask()
                if start >= counted:
                    times.append(time.perf_counter() - start)
                    failed += not well

        await asyncio.gather(*map(keep_asking, asks))
        seconds = time.perf_counter() - counted
    times.sort()
    return {
        "requests": len(times),
        "failed": failed,
        "per_second": len(times) / seconds,
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(len(times) * 0.99)],
    }


def main() -> None:
    """Loads and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocol", choices=["grpc", "http"])
    parser.add_argument("address")
    parser.add_argument("request")
    parser.add_argument("--path", default="/")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    print(json.dumps(asyncio.run(load(parser.parse_args()))), flush=True)


if __name__ == "__main__":
    main()
