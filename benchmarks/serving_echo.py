"""A gRPC server without a model: Predict answers with the bytes that it was asked with.

    python benchmarks/serving_echo.py grpcio     grpcio's own server
    python benchmarks/serving_echo.py threads    the embedded server's threads on grpcio's C core

What gRPC itself takes, and no server in Python on grpcio can go below. Prints its port; ends with
its standard input.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import grpc

from pipeline.serve.calls import Call, Calls

_SERVICE = "tensorflow.serving.PredictionService"
_THREADS = (os.cpu_count() or 1) + 1


def echo(call: Call) -> None:
    """Answers with what was sent."""
    call.answer(call.message)


def main() -> None:
    """Serves until the standard input is closed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=["grpcio", "threads"])
    kind = parser.parse_args().kind
    server = grpc.server(ThreadPoolExecutor(_THREADS))
    port = server.add_insecure_port("127.0.0.1:0")
    if kind == "grpcio":
        method = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
        handler = grpc.method_handlers_generic_handler(_SERVICE, {"Predict": method})
        server.add_generic_rpc_handlers((handler,))
        server.start()
    else:
        calls = Calls(server, {f"/{_SERVICE}/Predict": echo}, _THREADS)
        server.start()
        calls.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait()
    if kind == "threads":
        calls.end()


if __name__ == "__main__":
    main()
