"""What the server is started with, however it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.serve.models import Model, Retries


@dataclass(frozen=True)
class Options:
    """Everything the server must know.

    Attributes:
        models: The models to serve; with `model_config_file` what it said at first.
        model_config_file: File that `models` came from; None where they were named one by one.
        serving_folder: See `model_config.read_models`.
        host: Address to listen on.
        grpc_port: Port of the gRPC API; 0 takes a free one; None opens none.
        rest_port: Port of the REST API; likewise.
        poll_seconds: Seconds between two looks for versions; 0 looks once, at the start.
        config_poll_seconds: Seconds between two looks at the config file; 0 never looks again.
        drain_seconds: Seconds that running requests may take at the end.
        max_body_bytes: Largest REST body.
        rest_timeout_seconds: Longest a REST request may take; 0 sets no limit.
        retries: When failed loads are tried again.
        early_labels: Whether new labels may name versions that are not available.
        warm_up: Whether warm-up requests are replayed.
        cors: Whether REST answers carry CORS headers.
        threads: Threads that answer requests, for each protocol.
        session_threads: Threads TensorFlow runs ops with; 0 lets it choose.
    """

    models: tuple[Model, ...]
    model_config_file: Path | None = None
    serving_folder: Path | None = None
    host: str = "127.0.0.1"
    grpc_port: int | None = 8500
    rest_port: int | None = 8501
    poll_seconds: float = 1.0
    config_poll_seconds: float = 0.0
    drain_seconds: float = 10.0
    max_body_bytes: int = 256 * 2**20
    rest_timeout_seconds: float = 30.0
    retries: Retries = field(default_factory=Retries)
    early_labels: bool = False
    warm_up: bool = True
    cors: bool = False
    threads: int = 4 * (os.cpu_count() or 1)
    session_threads: int = 0
