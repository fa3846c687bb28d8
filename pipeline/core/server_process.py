"""The embedded server in a process of its own, for as long as a block runs.

Started as the program that it is (`python -m pipeline.serve`), so that whoever needs an answer over
the network can have one without knowing the room that gives it.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.core.errors import PipelineError

START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_REST = re.compile(r"^REST at (https?://\S+)$", re.MULTILINE)
_GRPC = re.compile(r"^gRPC at (\S+)$", re.MULTILINE)
_FLAGS = (
    "--free_ports",
    "--drain_seconds=2",
    "--allow_version_labels_for_unavailable_models",
    # Whatever becomes of this process, the other one ends with it.
    "--end_with_stdin",
)


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        rest_url: `http://HOST:PORT`, with TLS `https://`.
        grpc_url: `grpc://HOST:PORT`, with TLS `grpcs://`.
        process: The server's process.
        log: What it printed.
    """

    rest_url: str
    grpc_url: str
    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def running(
    model_config_file: Path | None = None, arguments: Sequence[str] = ()
) -> Iterator[Running]:
    """Starts the embedded server on free ports, waits until every model answers, stops it.

    Args:
        model_config_file: The models, such as models/models.config.
        arguments: Further flags of `python -m pipeline.serve`.

    Raises:
        PipelineError: The server did not come up; with its own words.
    """
    flags = list(arguments)
    if model_config_file is not None:
        flags.append(f"--model_config_file={model_config_file.absolute()}")
    with started(flags) as server:
        yield server.ready()


@contextmanager
def started(arguments: Sequence[str], memory_bytes: int | None = None) -> Iterator[ServerProcess]:
    """Starts the embedded server on free ports and waits for nothing; stops it after the block.

    Args:
        arguments: Flags of `python -m pipeline.serve`.
        memory_bytes: Resident memory above which the process is killed; None sets no limit.
    """
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "pipeline.serve", *_FLAGS, *arguments],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        server = ServerProcess(process, log, memory_bytes)
        try:
            yield server
        finally:
            server.stop()


class ServerProcess:
    """A server that may not answer yet.

    Args:
        process: Its process.
        log: What it prints.
        memory_bytes: See `started`.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, memory_bytes: int | None
    ) -> None:
        self.process = process
        self.log = log
        self.peak_bytes = 0
        """Most resident memory seen."""
        self._limit = memory_bytes
        self._ended = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def too_large(self) -> bool:
        """Whether it was killed for the memory it took."""
        return self._limit is not None and self.peak_bytes > self._limit

    def ready(self, seconds: float = START_SECONDS) -> Running:
        """Waits until every model answers.

        Raises:
            PipelineError: That took longer, or the process ended; with its own words.
        """
        deadline = time.monotonic() + seconds
        while True:
            text = self.words()
            rest, grpc_ = _REST.search(text), _GRPC.search(text)
            if rest and grpc_:
                scheme = "grpcs" if rest[1].startswith("https") else "grpc"
                return Running(rest[1], f"{scheme}://{grpc_[1]}", self.process, self.log)
            if self.process.poll() is not None:
                raise PipelineError(
                    f"the server ended with code {self.process.returncode}:\n{text}"
                )
            if time.monotonic() > deadline:
                raise PipelineError(f"the server did not come up within {seconds:.0f} s:\n{text}")
            time.sleep(_LOOK_SECONDS)

    def words(self) -> str:
        """What it printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace").strip()

    def stop(self) -> None:
        """Drains it, and kills it where that takes too long."""
        self._ended.set()
        self._watcher.join()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    def _watch(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            try:
                taken = psutil.Process(self.process.pid).memory_info().rss
            except psutil.Error:
                return
            self.peak_bytes = max(self.peak_bytes, taken)
            if self.too_large:
                self.process.kill()
                return
