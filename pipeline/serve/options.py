"""What the server is started with, however it is started."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.serve.batching import Batching
from pipeline.serve.models import Model, Retries
from pipeline.serve.request_log import RequestLogOptions
from pipeline.serve.tls import Tls


@dataclass(frozen=True)
class SessionOptions:
    """How graphs are loaded and run.

    Attributes:
        intra_op_threads: Threads inside one op; 0 lets TensorFlow choose.
        inter_op_threads: Threads that run a request's ops beside each other; 0 runs them in the
            thread of the request.
        config_file: A ConfigProto as text with further settings.
        gpu_memory_fraction: Part of a GPU's memory, 0 to 1; 0 lets TensorFlow choose.
        tags: Which graph of a SavedModel is served.
        batching: How batches are made; None: every request runs by itself.
        per_model_batching: Whether versions bring their own `batching_params.pbtxt`.
    """

    intra_op_threads: int = 0
    inter_op_threads: int = 0
    config_file: Path | None = None
    gpu_memory_fraction: float = 0.0
    tags: tuple[str, ...] = ("serve",)
    batching: Batching | None = None
    per_model_batching: bool = False


@dataclass(frozen=True)
class RestOptions:
    """How the REST API answers.

    Attributes:
        max_body_bytes: Largest body, also after it was unpacked.
        timeout_seconds: Longest an answer may take, and a client may pause while it sends; None
            sets no limit.
        max_connections: Connections beyond are answered with 503; None sets no limit.
        cors: Whether browsers of other origins may ask.
        metrics_path: Where the Prometheus page is; None: nowhere.
    """

    max_body_bytes: int = 256 * 2**20
    timeout_seconds: float | None = 30.0
    max_connections: int | None = None
    cors: bool = False
    metrics_path: str | None = None


@dataclass(frozen=True)
class GrpcOptions:
    """How the gRPC API answers.

    Attributes:
        socket: UNIX socket to listen on besides; None: none.
        arguments: Further channel arguments, name and value.
        max_message_bytes: Largest request; -1 sets no limit.
        health: Whether the standard health service is there.
        tensor_content: Whether Predict answers with packed bytes in place of typed fields.
    """

    socket: str | None = None
    arguments: tuple[tuple[str, int | str], ...] = ()
    max_message_bytes: int = -1
    health: bool = True
    tensor_content: bool = False


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
        retries: When failed loads are tried again.
        early_labels: Whether new labels may name versions that are not available.
        load_before_labels: Whether a label may name a version that the same config loads, which
            the real server refuses.
        warm_up: How often warm-up requests are replayed; 0: not at all.
        check_methods: Whether a signature must be of the method that is asked for.
        end_with_stdin: Whether the program ends, as by SIGTERM, when its standard input is closed.
        threads: Threads that answer requests, for each protocol.
        session: How graphs are loaded and run.
        rest: How the REST API answers.
        grpc: How the gRPC API answers.
        tls: Key and certificates of both APIs; None: plain connections.
        request_log: What is written down of requests; None: nothing.
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
    retries: Retries = field(default_factory=Retries)
    early_labels: bool = False
    load_before_labels: bool = False
    warm_up: int = 1
    check_methods: bool = False
    end_with_stdin: bool = False
    threads: int = 4 * (os.cpu_count() or 1)
    session: SessionOptions = field(default_factory=SessionOptions)
    rest: RestOptions = field(default_factory=RestOptions)
    grpc: GrpcOptions = field(default_factory=GrpcOptions)
    tls: Tls | None = None
    request_log: RequestLogOptions | None = None
