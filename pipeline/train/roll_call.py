"""Makes sure that every worker is there before TensorFlow is asked to join them.

TensorFlow waits for a worker that never comes for most of an hour, without a word and deaf to
signals; and where a port is taken it aborts. So the workers first meet on the same addresses by
themselves: each listens, calls all others until they answer, and is done when it has reached all of
them and all of them have reached it.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

from pipeline.core.errors import PipelineError
from pipeline.train.cluster import Cluster

_TICK_SECONDS = 0.2
_CALL_SECONDS = 2.0


def roll_call(cluster: Cluster, timeout_seconds: float) -> None:
    """Waits until every worker has come.

    Raises:
        PipelineError: A worker has not come in time, or another program listens on this port.
    """
    others = set(range(len(cluster.addresses))) - {cluster.index}
    unreached, unheard = set(others), set(others)
    deadline = time.monotonic() + timeout_seconds
    with _listening(cluster) as listener:
        while unreached or unheard:
            unreached -= {index for index in unreached if _reached(cluster, index)}
            unheard -= set(_heard(listener))
            if time.monotonic() > deadline:
                raise _absent(cluster, unreached | unheard, timeout_seconds)


@contextlib.contextmanager
def _listening(cluster: Cluster) -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", cluster.port))
            listener.listen(len(cluster.addresses))
        except OSError as error:
            raise PipelineError(
                f"worker {cluster.index} cannot listen on port {cluster.port}: {error.strerror}",
                expected="a port that no other program uses",
                remedy="end the other program (an older job?), or give the worker another port",
            ) from error
        yield listener


def _reached(cluster: Cluster, index: int) -> bool:
    host, _, port = cluster.addresses[index].rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_CALL_SECONDS) as call:
            call.sendall(f"{cluster.index}\n".encode())
    except OSError:
        return False
    return True


def _heard(listener: socket.socket) -> Iterator[int]:
    """Numbers of the workers that have called, for as long as they come without a pause."""
    listener.settimeout(_TICK_SECONDS)
    while True:
        try:
            call, _ = listener.accept()
        except TimeoutError:
            return
        with call:
            call.settimeout(_CALL_SECONDS)
            with contextlib.suppress(OSError, ValueError):  # not one of ours
                yield int(call.recv(16))


def _absent(cluster: Cluster, missing: set[int], timeout_seconds: float) -> PipelineError:
    names = ", ".join(f"{index} ({cluster.addresses[index]})" for index in sorted(missing))
    return PipelineError(
        f"worker {cluster.index} has waited {timeout_seconds:g} s for worker {names}",
        expected="every worker of the job, with the same addresses",
        remedy="see whether they run and whether a firewall stands between; raise"
        " launcher.start_timeout_seconds where they start slowly",
    )
