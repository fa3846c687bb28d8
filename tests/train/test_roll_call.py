"""Workers meet before TensorFlow joins them: who is missing, and which port is taken, is named."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.core.errors import PipelineError
from pipeline.train.cluster import Cluster
from pipeline.train.placement import free_addresses
from pipeline.train.roll_call import roll_call


def test_all_workers_meet_and_leave_their_ports_free() -> None:
    addresses = free_addresses(3)
    with ThreadPoolExecutor(3) as pool:
        met = [pool.submit(roll_call, Cluster(addresses, index), 60.0) for index in range(3)]
        assert [each.result() for each in met] == [None] * 3
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", Cluster(addresses, 1).port))


def test_a_worker_that_never_comes_is_named() -> None:
    addresses = free_addresses(3)
    with ThreadPoolExecutor(2) as pool:
        met = [pool.submit(roll_call, Cluster(addresses, index), 1.0) for index in (0, 1)]
        for index, each in enumerate(met):
            message = rf"(?s)worker {index} has waited 1 s for worker.*2 \({addresses[2]}\)"
            with pytest.raises(PipelineError, match=message) as caught:
                each.result()
            assert caught.value.exit_code == 1


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cluster = Cluster((*free_addresses(1), f"127.0.0.1:{port}"), 1)
        with pytest.raises(PipelineError, match=rf"worker 1 cannot listen on port {port}"):
            roll_call(cluster, 1.0)


def test_a_stranger_that_calls_is_no_worker() -> None:
    addresses = free_addresses(2)
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(roll_call, Cluster(addresses, 0), 60.0)
        host, port = addresses[0].split(":")
        while not waiting.done():
            try:
                with socket.create_connection((host, int(port)), timeout=1) as call:
                    call.sendall(b"GET / HTTP/1.1")
                    break
            except ConnectionRefusedError:
                continue
        roll_call(Cluster(addresses, 1), 60.0)
        assert waiting.result() is None
