"""The program of the warm process: see `warm` for what it is for and how it is spoken to."""

from __future__ import annotations

import _thread
import contextlib
import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from pipeline.core import tracking
from pipeline.core.processes import die_with_parent
from pipeline.runner.execute import EXIT_INTERRUPTED, flush_journals, run_stage


def _serve(listener: socket.socket) -> None:
    """Imports what heavy stages need, then answers one request after another until terminated."""
    _import_heavy()
    while True:
        connection, _ = listener.accept()
        with connection:
            request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 2)
            if descriptors:
                code = _run_for_client(connection, json.loads(request), descriptors)
                connection.sendall(json.dumps({"exit_code": code}).encode() + b"\n")
                connection.shutdown(socket.SHUT_RDWR)  # wakes the watcher
            # After a stage's answer, so that DVC hashes its outputs meanwhile.
            flush_journals(Path.cwd())
            with contextlib.suppress(OSError):
                connection.sendall(b"flushed\n")


def _import_heavy() -> None:
    from pipeline.core.runtime import quiet_tensorflow

    quiet_tensorflow()
    import keras  # noqa: F401
    import sklearn.linear_model  # noqa: F401
    import tensorflow  # noqa: F401

    tracking.warm()


def _run_for_client(
    connection: socket.socket, request: dict[str, object], descriptors: list[int]
) -> int:
    for stream, descriptor in zip((1, 2), descriptors, strict=True):
        os.dup2(descriptor, stream)
        os.close(descriptor)
    os.environ.update(request["env"])  # type: ignore[call-overload]
    finished = threading.Event()
    threading.Thread(target=_watch, args=(connection, finished), daemon=True).start()
    try:
        return run_stage(Path.cwd(), str(request["stage"]))
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        finished.set()


def _watch(connection: socket.socket, finished: threading.Event) -> None:
    """Turns the client's Ctrl-C into one here, and the client's death into ours."""
    while True:
        try:
            message = connection.recv(1024)
        except OSError:
            message = b""
        if finished.is_set():
            return
        if not message:
            os._exit(1)
        _thread.interrupt_main(signal.SIGINT)


if __name__ == "__main__":
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _serve(socket.socket(fileno=int(sys.argv[1])))
