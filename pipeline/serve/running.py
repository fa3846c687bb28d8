"""A server in a process of its own, for as long as a block runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import PipelineError

_START_SECONDS = 120.0
_STOP_SECONDS = 30.0
_REST = re.compile(r"^REST at (https?://\S+)$", re.MULTILINE)
_GRPC = re.compile(r"^gRPC at (\S+)$", re.MULTILINE)
_FLAGS = (
    "--free_ports",
    "--drain_seconds=2",
    "--allow_version_labels_for_unavailable_models",
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
    flags = [*_FLAGS, *arguments]
    if model_config_file is not None:
        flags.append(f"--model_config_file={model_config_file.absolute()}")
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "pipeline.serve", *flags],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            rest, grpc_ = _addresses(process, log)
            scheme = "grpcs" if rest.startswith("https") else "grpc"
            yield Running(rest, f"{scheme}://{grpc_}", process, log)
        finally:
            _stop(process)


def _addresses(process: subprocess.Popen[bytes], log: Path) -> tuple[str, str]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        rest, grpc_ = _REST.search(text), _GRPC.search(text)
        if rest and grpc_:
            return rest[1], grpc_[1]
        if process.poll() is not None:
            raise PipelineError(f"the server ended with code {process.returncode}:\n{text.strip()}")
        time.sleep(0.05)
    raise PipelineError(
        f"the server did not come up within {_START_SECONDS:.0f} s:\n{text.strip()}"
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
