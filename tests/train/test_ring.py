"""Sums that travel round a ring of sockets: right, the same everywhere, and loud when broken."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.train.cluster import Cluster
from pipeline.train.ring import Ring, RingBrokenError, join_ring


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        caller = socket.create_connection(listener.getsockname())
        return caller, listener.accept()[0]


def circle(workers: int) -> list[Ring]:
    """All workers in this process, each connected to the next."""
    pairs = [connected() for _ in range(workers)]
    return [Ring(i, workers, pairs[i - 1][1], pairs[i][0]) for i in range(workers)]


def close(rings: list[Ring]) -> None:
    for ring in rings:
        ring.close()


@settings(max_examples=25)
@given(st.integers(2, 5), st.integers(1, 50), st.integers(0, 2**31))
def test_everyone_gets_the_same_sum(workers: int, numbers: int, seed: int) -> None:
    vectors = np.random.default_rng(seed).normal(size=(workers, numbers)).astype(np.float32)
    kept, rings = vectors.copy(), circle(workers)
    with ThreadPoolExecutor(workers) as pool:
        sums = list(pool.map(lambda i: rings[i].add_up(vectors[i]), range(workers)))
    close(rings)
    np.testing.assert_allclose(sums[0], vectors.sum(axis=0), rtol=1e-5, atol=1e-5)
    for other in sums[1:]:
        np.testing.assert_array_equal(other, sums[0])
    np.testing.assert_array_equal(vectors, kept)


def test_vectors_longer_than_any_buffer_arrive_in_several_rounds() -> None:
    rings = circle(3)
    with ThreadPoolExecutor(3) as pool:
        for scale in (1.0, 2.0):
            sums = pool.map(lambda i, s=scale: rings[i].add_up(np.full(4_000_000, s * i)), range(3))
            assert all((each == 3 * scale).all() for each in sums)
    close(rings)


def test_numbers_that_are_none_stay_with_their_place() -> None:
    rings = circle(2)
    vectors = [np.array([1, np.nan, 3, 4], np.float32), np.array([1, 1, 1, np.inf], np.float32)]
    with ThreadPoolExecutor(2) as pool:
        for total in pool.map(lambda i: rings[i].add_up(vectors[i]), range(2)):
            np.testing.assert_array_equal(total, np.array([2, np.nan, 4, np.inf], np.float32))
    close(rings)


def test_a_neighbour_that_has_gone_is_an_error() -> None:
    stays, goes = circle(2)
    goes.close()
    with pytest.raises(RingBrokenError, match="worker 0"):
        stays.add_up(np.ones(10, np.float32))
    stays.close()


def joined(hosts: tuple[str, ...]) -> list[Ring | None]:
    """What each worker gets of `join_ring`; they tell each other through a barrier."""
    workers = len(hosts)
    told: list[Any] = [None] * workers
    barrier = threading.Barrier(workers, timeout=60)

    def gather_of(index: int) -> Callable[[Any], Any]:
        def gather(rows: Any) -> Any:
            told[index] = rows
            barrier.wait()
            everyone = np.concatenate(told)
            barrier.wait()
            return everyone

        return gather

    addresses = tuple(f"{host}:1" for host in hosts)
    with ThreadPoolExecutor(workers) as pool:
        return list(
            pool.map(lambda i: join_ring(Cluster(addresses, i), gather_of(i)), range(workers))
        )


def test_workers_find_each_other() -> None:
    rings = [ring for ring in joined(("127.0.0.1",) * 3) if ring]
    with ThreadPoolExecutor(3) as pool:
        sums = list(pool.map(lambda i: rings[i].add_up(np.ones(7, np.float32)), range(3)))
    assert [list(each) for each in sums] == [[3.0] * 7] * 3
    close(rings)


def test_workers_of_other_machines_take_tensorflows_operations() -> None:
    assert joined(("127.0.0.1", "10.0.0.2", "127.0.0.1")) == [None] * 3


def test_a_neighbour_that_never_calls_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.train.ring._MEETING_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]

        def gather(rows: Any) -> Any:
            return np.concatenate([rows, np.full_like(rows, port)])

        with pytest.raises(RingBrokenError, match="has not called"):
            join_ring(Cluster(("127.0.0.1:1", "127.0.0.1:2"), 0), gather)
