"""Who serves: the embedded server or the real one, from the same files beside models/serving.

models.config (models, versions, labels) is written by `export` and `promote`; here follow
batching.config and monitoring.config, in the real server's own text formats, which both read.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.publishing import publish_file
from pipeline.serve.config import BatchingConfig, ServeConfig

_PROGRAM = "tensorflow_model_server"
_INSIDE = {"grpc": 8500, "rest": 8501}
"""Ports inside the container."""


@dataclass(frozen=True)
class ServerFiles:
    """The files a server is started with.

    Attributes:
        models: models.config.
        batching: batching.config; None where requests are not batched.
        monitoring: monitoring.config.
    """

    models: Path
    batching: Path | None
    monitoring: Path


def write_server_files(config: ServeConfig, artifacts: Artifacts) -> ServerFiles:
    """Writes batching.config and monitoring.config as the config wants them."""
    monitoring = artifacts.monitoring_config
    _publish(monitoring, f'prometheus_config {{ enable: true path: "{config.metrics_path}" }}\n')
    batching = artifacts.batching_config
    _publish(batching, _batching_text(config.batching))
    return ServerFiles(
        artifacts.serving_config, batching if config.batching.enabled else None, monitoring
    )


def _publish(path: Path, text: str) -> None:
    with publish_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _batching_text(batching: BatchingConfig) -> str:
    values = {
        "max_batch_size": batching.max_batch_size,
        "batch_timeout_micros": batching.batch_timeout_micros,
        "max_enqueued_batches": batching.max_enqueued_batches,
        "num_batch_threads": batching.num_batch_threads or os.cpu_count() or 1,
    }
    lines = [f"{name} {{ value: {value} }}" for name, value in values.items()]
    lines += [f"allowed_batch_sizes: {size}" for size in batching.allowed_batch_sizes]
    return "\n".join([*lines, ""])


def start_real_server(config: ServeConfig, files: ServerFiles) -> NoReturn:
    """Turns this process into the real server.

    Raises:
        ConfigError: It cannot do what the config asks for.
        PipelineError: It is not installed.
    """
    command = real_command(config, files)
    if shutil.which(command[0]) is None:
        raise PipelineError(
            f"{command[0]} is not on PATH",
            expected=f"an installation for serve.backend={config.backend}",
            remedy="install it, or serve with serve.backend=embedded",
        )
    os.execvp(command[0], command)  # noqa: S606  a fixed program with an argument list


def real_command(config: ServeConfig, files: ServerFiles) -> list[str]:
    """The command line of the real server.

    Raises:
        ConfigError: It cannot do what the config asks for.
    """
    if 0 in {config.rest_port, config.grpc_port}:
        raise ConfigError(
            "serve.rest_port or serve.grpc_port is 0",
            expected=f"two ports: serve.backend={config.backend} does not look for free ones",
        )
    if config.backend == "docker":
        return _docker_command(config, files)
    if config.host not in {"0.0.0.0", "::"}:  # noqa: S104  it is what has to be confirmed
        raise ConfigError(
            f"serve.host is {config.host}",
            expected=f"0.0.0.0: {_PROGRAM} listens on every network interface",
            remedy="set serve.host=0.0.0.0 if that is meant, or use serve.backend=docker",
        )
    ports = (f"--port={config.grpc_port}", f"--rest_api_port={config.rest_port}")
    return [_PROGRAM, *ports, *_flags(config, files)]


def _docker_command(config: ServeConfig, files: ServerFiles) -> list[str]:
    """Mounts the folders under their own paths: models.config names absolute ones."""
    folders = [files.models.parent.absolute()]
    if config.ssl_config_file:
        folders.append(Path(config.ssl_config_file).absolute().parent)
    mounts = [f"--mount=type=bind,source={one},target={one},readonly" for one in folders]
    published = [
        f"--publish={config.host}:{config.grpc_port}:{_INSIDE['grpc']}",
        f"--publish={config.host}:{config.rest_port}:{_INSIDE['rest']}",
    ]
    ports = (f"--port={_INSIDE['grpc']}", f"--rest_api_port={_INSIDE['rest']}")
    start = ["docker", "run", "--rm", "--init", *published, *mounts]
    entry = [f"--entrypoint={_PROGRAM}", config.docker_image]
    return [*start, *entry, *ports, *_flags(config, files)]


def _flags(config: ServeConfig, files: ServerFiles) -> Sequence[str]:
    seconds = math.ceil(config.poll_seconds)
    flags = [
        f"--model_config_file={files.models.absolute()}",
        f"--model_config_file_poll_wait_seconds={seconds}",
        f"--file_system_poll_wait_seconds={seconds}",
        "--allow_version_labels_for_unavailable_models=true",
        f"--monitoring_config_file={files.monitoring.absolute()}",
    ]
    if files.batching:
        flags += [
            "--enable_batching=true",
            f"--batching_parameters_file={files.batching.absolute()}",
        ]
    if config.ssl_config_file:
        flags.append(f"--ssl_config_file={Path(config.ssl_config_file).absolute()}")
    return flags
