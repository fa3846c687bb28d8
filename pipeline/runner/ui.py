"""`pipeline ui`: the MLflow UI on the store of this project, for this machine only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from pathlib import Path

import requests

from pipeline.compose.params import read_params
from pipeline.core.console import say
from pipeline.core.errors import BusyError, PipelineError, UsageError
from pipeline.core.processes import die_with_parent
from pipeline.core.schema import build, lookup
from pipeline.core.tracking import TrackingConfig, check_store

HOST = "127.0.0.1"

_STDERR = 2
_START_SECONDS = 300.0
_STOP_SECONDS = 3.0


def run_ui(root: Path, *, port: int, browser: bool) -> int:
    """Serves the UI until Ctrl-C; returns the exit code.

    With `tracking=server` nothing is started: the server has a UI of its own.

    Args:
        root: The project folder.
        port: Port on 127.0.0.1; 0 takes a free one.
        browser: Whether a browser is opened on it.

    Raises:
        BusyError: The port is taken.
        UsageError: It is none.
        PipelineError: The store cannot be used, or the UI does not start.
    """
    tracking = build(TrackingConfig, lookup(read_params(root), "tracking"), "tracking")
    where = check_store(root, tracking)
    if tracking.kind == "server":
        return _show(where, browser=browser)
    port = _free_port(port)
    address = f"http://{HOST}:{port}"
    process = _start(root, where, port)
    try:
        _await_answer(process, address)
        _show(address, browser=browser)
        say("Ctrl-C stops it")
        return _end_of(process)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(process)


def _start(root: Path, store: str, port: int) -> subprocess.Popen[bytes]:
    """Two processes and half a gigabyte; MLflow's defaults are fifteen and over three."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port)]
    return subprocess.Popen(
        [*command, "--backend-store-uri", store, "--workers", "1"],
        cwd=root,
        env={
            **os.environ,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        stdin=subprocess.DEVNULL,
        stdout=_STDERR,  # the server's own lines; standard output has the address
        start_new_session=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - no threads here, and nothing is allocated
    )


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Waits in short steps: Ctrl-C may reach a thread of some library, which does not wake this."""
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(timeout=1.0)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the server and what it started; a browser's open connection must not hold it up."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_STOP_SECONDS)


def _await_answer(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PipelineError(
                f"the MLflow UI ended with code {process.returncode}",
                remedy="see its messages above",
            )
        try:
            if requests.get(f"{address}/health", timeout=2).ok:
                return
        except requests.RequestException:
            time.sleep(0.2)
    raise PipelineError(
        f"the MLflow UI did not answer within {_START_SECONDS:.0f} s",
        remedy="see its messages above, then try again",
    )


def _show(address: str, *, browser: bool) -> int:
    say(f"MLflow UI: {address}")
    if browser:
        webbrowser.open(address)
    return 0


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OverflowError as error:
            raise UsageError(
                f"--port {port} is no port", expected="a whole number from 0 to 65535"
            ) from error
        except OSError as error:
            raise BusyError(
                f"port {port} on {HOST} is taken: {error.strerror}",
                remedy="choose another with --port, or --port 0 for a free one",
            ) from error
        return int(probe.getsockname()[1])
