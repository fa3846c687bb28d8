"""Runs the server as a program: until a signal, in good order to the end."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from types import FrameType

from pipeline.core.console import say
from pipeline.serve.options import Options
from pipeline.serve.server import Server

_SWITCH_SECONDS = 0.001
"""How long one thread may keep Python from the others that want it; Python's own choice of 5 ms is
longer than most answers take."""


def serve_until_signalled(options: Options) -> int:
    """Runs a server until SIGINT or SIGTERM, then drains it; returns the exit code.

    A second signal ends the process at once.

    Raises:
        PipelineError: See `Server.start`.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("pipeline.serve").setLevel(logging.INFO)
    # Bytes that are no message are their client's mistake, and it is told; the log need not be.
    logging.getLogger("grpc._common").setLevel(logging.CRITICAL)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    sys.setswitchinterval(_SWITCH_SECONDS)
    server = Server(options)

    def end(number: int, _frame: FrameType | None) -> None:
        if server.ending.is_set():
            os._exit(128 + number)
        server.ending.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    if options.end_with_stdin:
        threading.Thread(target=_end_with_stdin, args=(server,), daemon=True).start()
    server.start()
    if not server.ending.is_set():
        _announce(server)
    while not server.ending.wait(1.0):
        pass  # a signal may reach a thread of some library, which does not wake this one
    _tell("draining")
    server.stop()
    return 0


def _end_with_stdin(server: Server) -> None:
    # Not through `sys.stdin`, whose lock a waiting thread would hold when the interpreter ends.
    while os.read(0, 1):
        pass
    server.ending.set()


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk under the log is no reason not to serve
        say(text)


def _announce(server: Server) -> None:
    host = server.options.host
    shown = f"[{host}]" if ":" in host else host
    for name, versions in server.manager.available().items():
        _tell(f"serving {name}, version {', '.join(map(str, versions))}")
    if server.rest_port:
        scheme = "https" if server.options.tls else "http"
        _tell(f"REST at {scheme}://{shown}:{server.rest_port}")
    if server.grpc_port:
        _tell(f"gRPC at {shown}:{server.grpc_port}")
    if server.options.grpc.socket:
        _tell(f"gRPC at unix:{server.options.grpc.socket}")
