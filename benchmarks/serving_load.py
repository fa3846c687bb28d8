"""Load on a server from a process of its own: so many clients at a time, each waits for its answer.

    python benchmarks/serving_load.py grpc 127.0.0.1:8500 REQUEST --clients 32 --seconds 5
    python benchmarks/serving_load.py http 127.0.0.1:8501 REQUEST --path /v1/models/m:predict

REQUEST is a file: a serialised PredictRequest, or an HTTP body. Prints one line of JSON: requests,
failed, per second, p50 and p99 in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import grpc

Ask = Callable[[], Awaitable[bool]]
"""Sends one request; says whether it was answered well."""
_METHOD = "/tensorflow.serving.PredictionService/Predict"


async def grpc_client(stack: AsyncExitStack, address: str, request: bytes) -> Ask:
    """A channel of its own, bytes in and out: what is measured is the server."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address, options))
    method = channel.unary_unary(_METHOD)

    async def ask() -> bool:
        try:
            await method(request)
        except grpc.aio.AioRpcError:
            return False
        return True

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
