"""A cluster of one's own beside whatever else the machine does."""

from __future__ import annotations

import contextlib
import socket

import pytest

from pipeline.preprocess.workers_dask import cluster


def test_the_usual_port_of_a_dashboard_may_be_taken():
    pytest.importorskip("distributed")
    with socket.socket() as taken:
        # Where another has it already, it is taken all the same.
        with contextlib.suppress(OSError):
            taken.bind(("127.0.0.1", 8787))
            taken.listen()
        with cluster("", 1) as workers:
            assert list(workers.map(abs, [-1, 2])) == [1, 2]
