"""Ray in tests: a cluster to attach to, and proof that nothing of it is left."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

# Not `importorskip`: what a Ray of our own reads from the environment it reads as it is imported.
NEEDS_RAY = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed (pip install 'train-to-serve[ray]')",
)

AGENTS_END_SECONDS = 120
"""Ray's agents look for their parent now and then only."""

LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def below(pid: int) -> list[psutil.Process]:
    """Every process that descends from `pid`."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).children(recursive=True)
    return []


def still_alive(processes: Sequence[psutil.Process], seconds: float) -> list[str]:
    """Waits for them to end; kills the rest and names them."""
    _, left = psutil.wait_procs(processes, timeout=seconds)
    named = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                named.append(" ".join(process.cmdline()))
            process.kill()
    return named


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fails where processes that the test started are left, and ends them."""
    before = {process.pid for process in below(os.getpid())}
    yield
    started = [process for process in below(os.getpid()) if process.pid not in before]
    assert still_alive(started, 10) == []


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder with a short path: those of Ray's sockets may have 107 bytes at most.

    As TMPDIR it takes what a killed driver leaves.
    """
    with tempfile.TemporaryDirectory(prefix="t-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Node:
    """A node of a cluster.

    Attributes:
        process: `ray start --block`.
        environment: That of its drivers too.
        command: What a command on this node begins with: its network namespace.
    """

    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    command: tuple[str, ...] = ()


@contextlib.contextmanager
def node(
    folder: Path, *options: str, command: tuple[str, ...] = (), **environment: str
) -> Iterator[Node]:
    """`ray start --block OPTIONS`; every process below it is gone after the block."""
    told = {
        **os.environ,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "0123456789abcdef" * 4,
        "RAY_USAGE_STATS_ENABLED": "0",
        **environment,
    }
    ray = Path(sys.executable).with_name("ray")
    log = folder / f"node-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(ray), "start", "--block", "--num-cpus=1", *options],
            env=told,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
        )
    try:
        deadline = time.monotonic() + 120
        while b"Ray runtime started" not in log.read_bytes():
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
            time.sleep(0.1)
        yield Node(process, told, command)
    finally:
        started = below(process.pid)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=30)
        process.kill()
        process.wait()
        still_alive(started, 5)
