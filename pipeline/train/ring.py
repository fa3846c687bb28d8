"""Adding up among workers of one machine: TensorFlow, on CPUs, takes gRPC calls, which cost more.

Workers of several machines add up by TensorFlow's collective operations.

A ring all-reduce (P. Patarasuk, X. Yuan, Bandwidth Optimal All-reduce Algorithms for Clusters of
Workstations, 2009): each worker sends to the next one and hears from the one before. The vector is
cut into as many parts as there are workers; parts travel round the ring, each worker adding its own
numbers, and then once more, as sums. Each part is added up in one order by one worker, so that all
get the same bits. Two workers just exchange their vectors, which takes half as many turns.
"""

from __future__ import annotations

import contextlib
import secrets
import select
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.train.cluster import Cluster

_MEETING_SECONDS = 10.0
_PASSWORD_BYTES = 16
_HERE = "127.0.0.1"
_LOOPBACK = {_HERE, "localhost"}

Gather = Callable[[NDArray[Any]], NDArray[Any]]
"""Rows of each worker, `[n, ...]`, as those of all, `[workers * n, ...]`."""


class RingBrokenError(ConnectionError):
    """A neighbour has gone."""


def join_ring(cluster: Cluster, gather: Gather) -> Ring | None:
    """Connects the workers of one machine, on ports that the system picks.

    Args:
        cluster: All of them.
        gather: Tells all what each has picked.

    Returns:
        This worker's place in the ring; None where one of them may be on another machine.

    Raises:
        RingBrokenError: A neighbour does not come.
    """
    hosts = {address.rpartition(":")[0] for address in cluster.addresses}
    if not hosts <= _LOOPBACK:
        return None
    password = secrets.token_bytes(_PASSWORD_BYTES)  # whoever else is on this machine may call, too
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((_HERE, 0)))
        mine = [listener.getsockname()[1], *np.frombuffer(password, np.int32)]
        everyone = gather(np.array([mine], np.int32))
        port, *theirs = everyone[(cluster.index + 1) % len(everyone)]
        called = stack.enter_context(socket.create_connection((_HERE, int(port)), _MEETING_SECONDS))
        called.sendall(np.array(theirs, np.int32).tobytes())
        heard = _hear(listener, password)
        stack.pop_all()
        listener.close()
    return Ring(cluster.index, len(everyone), heard, called)


def _hear(listener: socket.socket, password: bytes) -> socket.socket:
    """The first caller who knows the password."""
    deadline = time.monotonic() + _MEETING_SECONDS
    listener.settimeout(_MEETING_SECONDS)
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            caller, _ = listener.accept()
            caller.settimeout(_MEETING_SECONDS)
            if caller.recv(len(password), socket.MSG_WAITALL) == password:
                return caller
            caller.close()
    raise RingBrokenError(f"the worker before has not called within {_MEETING_SECONDS:g} s")


class Ring:
    """The workers in a circle.

    Args:
        worker: Which of them this one is, from 0.
        workers: How many.
        before: A connection on which the worker before this one sends.
        after: A connection to the next one.
    """

    def __init__(
        self, worker: int, workers: int, before: socket.socket, after: socket.socket
    ) -> None:
        self.worker, self.workers = worker, workers
        self._before, self._after = before, after
        for each in (before, after):
            each.settimeout(0.0)
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a machine may just vanish

    def close(self) -> None:
        """Leaves the ring."""
        self._before.close()
        self._after.close()

    def add_up(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sum of all workers' vectors, float32 `[n]`; each worker calls this in every step.

        Raises:
            RingBrokenError: A neighbour has gone.
        """
        if self.workers == 2:  # in one round: a sum of two is the same bits for both
            theirs = np.empty_like(vector)
            self._pass_on(vector, theirs)
            return vector + theirs
        total = vector.copy()
        parts = np.array_split(total, self.workers)
        received = np.empty_like(parts[0])  # the first part is the longest
        for shift in range(self.workers - 1):
            mine, theirs = self._parts(parts, -shift)
            self._pass_on(mine, received[: len(theirs)])
            theirs += received[: len(theirs)]
        for shift in range(self.workers - 1):
            mine, theirs = self._parts(parts, 1 - shift)
            self._pass_on(mine, theirs)
        return total

    def _parts(
        self, parts: Sequence[NDArray[np.float32]], shift: int
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        place = self.worker + shift
        return parts[place % self.workers], parts[(place - 1) % self.workers]

    def _pass_on(self, mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
        """Sends and receives at once: with all sending first, long vectors would never arrive."""
        unsent, missing = mine.view(np.uint8).data, theirs.view(np.uint8).data
        while unsent or missing:
            readable, writable, _ = select.select(
                [self._before] if missing else [], [self._after] if unsent else [], []
            )
            try:
                if writable:
                    unsent = unsent[self._after.send(unsent) :]
                if readable:
                    count = self._before.recv_into(missing)
                    if not count:
                        raise RingBrokenError(f"worker {self.worker}: the one before it has gone")
                    missing = missing[count:]
            except BlockingIOError:
                continue
            except OSError as error:
                raise RingBrokenError(f"worker {self.worker} lost a neighbour: {error}") from error
