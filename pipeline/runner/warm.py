"""The warm process: pays the import of TensorFlow and MLflow once for all heavy stages of a run.

`pipeline run` starts it beside the light stages, so that the imports overlap with them. DVC still
starts `python -m pipeline stage NAME` for every stage; for a heavy one that process only hands
its name and its standard streams to the warm one and waits for the exit code. Without a warm
process (plain `dvc repro`) the same command runs the stage itself.

Protocol, over a Unix socket: the stage process sends its stdout and stderr as file descriptors
with a JSON line {"stage": NAME, "env": {...}}; later, on Ctrl-C or SIGTERM, the line "interrupt";
the host answers one JSON line {"exit_code": N}. Either side that dies takes the other's stage with
it: the host ends itself when its client vanishes, the client fails when the host does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pipeline.core.errors import PipelineError

SOCKET_VARIABLE = "PIPELINE_WARM_SOCKET"
"""Environment variable that tells a stage process where the warm process listens."""

_STAGES_VARIABLE = "PIPELINE_WARM_STAGES"
"""Environment variable with the names of the stages that it runs, joined by commas."""

_FORWARDED = ("DVC_", "PIPELINE_", "MLFLOW_")
"""Variables of the stage process that the warm one takes over."""


@contextlib.contextmanager
def warm_process(root: Path, stages: Iterable[str]) -> Iterator[dict[str, str]]:
    """Starts a warm process for the project `root` and ends it with the block.

    Args:
        root: The project.
        stages: Names of the stages that it is to run.

    Yields:
        The environment that makes stage processes use it.
    """
    # The socket lives in the system's temporary folder: its path may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="pipeline-") as folder:
        path = Path(folder) / "warm.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen(1)
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline.runner.host", str(listener.fileno())],
            cwd=root,
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches it through its client, once
        )
        listener.close()
        try:
            yield {SOCKET_VARIABLE: str(path), _STAGES_VARIABLE: ",".join(stages)}
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=5)
            process.kill()
            process.wait()


def is_warm(name: str) -> bool:
    """Whether a warm process waits to run the stage called `name`."""
    return name in os.environ.get(_STAGES_VARIABLE, "").split(",")


def run_in_warm_process(name: str) -> int:
    """Hands the stage to the warm process and waits; returns the stage's exit code.

    Raises:
        PipelineError: The warm process died.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(os.environ[SOCKET_VARIABLE])
            _send_request(connection, name)
        except OSError as error:
            raise _died(name) from error
        answer = _await_answer(connection)
    if not answer:
        raise _died(name)
    return int(json.loads(answer)["exit_code"])


def flush_in_warm_process(environment: Mapping[str, str]) -> None:
    """Has the warm process carry all journals into MLflow; a dead one leaves them for later."""
    with socket.socket(socket.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.connect(environment[SOCKET_VARIABLE])
        connection.sendall(b"{}\n")
        connection.recv(1024)


def _died(name: str) -> PipelineError:
    return PipelineError(
        f"the process that ran stage {name} died (killed, or out of memory)",
        remedy="run `pipeline run` again; finished stages are kept",
    )


def _send_request(connection: socket.socket, name: str) -> None:
    env = {key: value for key, value in os.environ.items() if key.startswith(_FORWARDED)}
    line = json.dumps({"stage": name, "env": env}) + "\n"
    socket.send_fds(connection, [line.encode()], [sys.stdout.fileno(), sys.stderr.fileno()])


def _await_answer(connection: socket.socket) -> bytes:
    """Waits for the end of the stage; Ctrl-C and SIGTERM are passed on, so that it can save."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    while True:
        try:
            return connection.recv(1024)
        except KeyboardInterrupt:
            connection.sendall(b"interrupt\n")
