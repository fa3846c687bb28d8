"""Load on a server from a process of its own: so many clients at a time, each waits for its answer.

    python benchmarks/serving_load.py grpc 127.0.0.1:8500 REQUEST --clients 32 --seconds 5
    python benchmarks/serving_load.py http 127.0.0.1:8501 REQUEST --path /v1/models/m:predict

REQUEST is a file: a serialised PredictRequest, or an HTTP body. Prints one line of JSON: requests,
failed, per second, p50 and p99 in milliseconds.

Both protocols are spoken with the fewest steps there are, over one socket a client, and one thread
serves all sockets: grpcio's own client takes more of the machine than the server that is measured,
and asyncio twice what this takes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import selectors
import socket
import struct
import time
from abc import ABC, abstractmethod
from pathlib import Path

_METHOD = b"/tensorflow.serving.PredictionService/Predict"
_DATA, _HEADERS, _RESET, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_FRAME = 2**14
_WINDOW_BYTES = 2**31 - 1
_READ_BYTES = 2**18


def frame(kind: int, flags: int, stream: int, body: bytes = b"") -> bytes:
    """An HTTP/2 frame (RFC 9113, 4.1)."""
    return struct.pack(">I", len(body))[1:] + struct.pack(">BBI", kind, flags, stream) + body


def header(name: bytes, value: bytes) -> bytes:
    """A header field that nobody has to remember (RFC 7541, 6.2.2); both sides below 127 bytes."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Client(ABC):
    """A connection of its own, one request after the other."""

    began = 0.0
    """When the last request was sent."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""

    def ask(self) -> None:
        """Sends a request."""
        self.began = time.perf_counter()
        self.socket.sendall(self._request())

    def answered(self) -> bool | None:
        """Reads what has come: whether the answer is a good one, None while more is to come."""
        came = self.socket.recv(_READ_BYTES)
        if not came:
            raise ConnectionError("the server closed the connection")
        self._read += came
        return self._answer()

    @abstractmethod
    def _request(self) -> bytes:
        """The bytes of the next request."""

    @abstractmethod
    def _answer(self) -> bool | None:
        """Takes what it can from what was read; see `answered`."""


class GrpcClient(Client):
    """Predict over HTTP/2; a good answer is a whole message and the status OK."""

    def __init__(self, address: str, request: bytes) -> None:
        super().__init__(address)
        # The server may send as much as it likes: no server table for headers, the largest windows.
        settings = struct.pack(">HIHI", 1, 0, 4, _WINDOW_BYTES)
        hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, settings)
        window = struct.pack(">I", _WINDOW_BYTES - 2**16 + 1)
        self.socket.sendall(hello + frame(_WINDOW, 0, 0, window))
        fields = [(b":authority", address.encode()), (b":path", _METHOD)]
        fields += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
        # The first two are `:method: POST` and `:scheme: http` of the table that all clients know.
        self._head = b"\x83\x86" + b"".join(header(*field) for field in fields)
        message = struct.pack(">BI", 0, len(request)) + request
        self._pieces = [message[i : i + _FRAME] for i in range(0, len(message), _FRAME)]
        self._streams = itertools.count(1, 2)
        self._message = b""

    def _request(self) -> bytes:
        stream = next(self._streams)
        frames = [frame(_HEADERS, _END_HEADERS, stream, self._head)]
        frames += [frame(_DATA, 0, stream, piece) for piece in self._pieces[:-1]]
        frames.append(frame(_DATA, _END_STREAM, stream, self._pieces[-1]))
        self._message = b""
        return b"".join(frames)

    def _answer(self) -> bool | None:
        while len(self._read) >= 9:
            end = 9 + int.from_bytes(self._read[:3], "big")
            if len(self._read) < end:
                break
            kind, flags, body = self._read[3], self._read[4], self._read[9:end]
            self._read = self._read[end:]
            if kind == _DATA:
                self._message += body
            elif kind in {_SETTINGS, _PING} and not flags & _ACK:
                self.socket.sendall(frame(kind, _ACK, 0, body if kind == _PING else b""))
            elif kind in {_RESET, _GOAWAY}:
                return False
            elif kind == _HEADERS and flags & _END_STREAM:
                whole = int.from_bytes(self._message[1:5], "big") == len(self._message) - 5 > 0
                return whole and b"grpc-status\x010" in body
        return None


class HttpClient(Client):
    """A kept connection, HTTP/1.1; a good answer has the status 200."""

    def __init__(self, address: str, path: str, body: bytes) -> None:
        super().__init__(address)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._whole = head.encode() + body

    def _request(self) -> bytes:
        return self._whole

    def _answer(self) -> bool | None:
        head, end, body = self._read.partition(b"\r\n\r\n")
        if not end:
            return None
        status, *lines = head.split(b"\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in lines)
        size = int(fields[b"content-length"])
        if len(body) < size:
            return None
        self._read = body[size:]
        return b" 200 " in status


def load(clients: list[Client], seconds: float) -> dict[str, float]:
    """Asks until the time is up; the first tenth of it warms up and is not counted."""
    times: list[float] = []
    failed = 0
    began = time.perf_counter()
    counted, end = began + 0.1 * seconds, began + seconds
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.ask()
        while selector.get_map():
            for key, _ in selector.select():
                client = key.data
                well = client.answered()
                if well is None:
                    continue
                now = time.perf_counter()
                if client.began >= counted:
                    times.append(now - client.began)
                    failed += not well
                if now < end:
                    client.ask()
                else:
                    selector.unregister(client.socket)
    taken = time.perf_counter() - counted
    times.sort()
    return {
        "requests": len(times),
        "failed": failed,
        "per_second": len(times) / taken,
        "p50_ms": 1e3 * times[len(times) // 2],
        "p99_ms": 1e3 * times[int(len(times) * 0.99)],
    }


def main() -> None:
    """Loads and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("protocol", choices=["grpc", "http"])
    parser.add_argument("address")
    parser.add_argument("request", type=Path)
    parser.add_argument("--path", default="/")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    request = options.request.read_bytes()
    clients: list[Client] = [
        GrpcClient(options.address, request)
        if options.protocol == "grpc"
        else HttpClient(options.address, options.path, request)
        for _ in range(options.clients)
    ]
    print(json.dumps(load(clients, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
