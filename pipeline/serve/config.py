"""What can be set about serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from pipeline.core.schema import config

Port = Annotated[int, Field(ge=0, le=65_535)]
Backend = Literal["embedded", "tensorflow_model_server", "docker"]


@config
class BatchingConfig:
    """Running the rows of several requests together; TensorFlow Serving's BatchingParameters."""

    enabled: bool
    """Whether requests are batched; worth it where the model, not the protocol, takes the time."""
    max_batch_size: int = Field(ge=1)
    """Most rows of one request and of one batch; a larger request is refused."""
    batch_timeout_micros: int = Field(ge=0)
    """Microseconds a batch waits to be filled; 0 runs what waits as soon as a thread is free."""
    max_enqueued_batches: int = Field(ge=1)
    """Batches that may wait; requests beyond are refused with UNAVAILABLE."""
    num_batch_threads: int = Field(ge=0)
    """Batches that run at a time; 0: one for each processor core."""
    allowed_batch_sizes: tuple[Annotated[int, Field(ge=1)], ...]
    """Sizes that batches are filled up to, rising, the last is max_batch_size; empty: any size."""


@config
class RequestLogConfig:
    """What is written down of requests, for `pipeline data drift`; the embedded server only."""

    file: str = Field(pattern=r"^$|\.jsonl$")
    """File of JSON lines, relative to the project; empty: nothing is written."""
    sampling: float = Field(gt=0, le=1)
    """Share of the requests that are written, 0 to 1."""
    max_bytes: int = Field(ge=1)
    """Size at which a new file is begun."""
    files: int = Field(ge=1)
    """Files that are kept, the newest."""
    omit: tuple[str, ...]
    """Columns that are never written, besides those of personal data (`pii` of the source)."""


@config
class ServeConfig:
    """Who serves, where it listens, and how it goes about new versions and its end."""

    backend: Backend
    """The embedded server, or the real one: its program on PATH, or its image in Docker."""
    docker_image: str = Field(min_length=1)
    """Image for the backend `docker`."""
    host: str = Field(min_length=1)
    """Address to listen on; 127.0.0.1 is reachable from this machine only, 0.0.0.0 from all."""
    rest_port: Port
    """Port of the REST API; 0 takes a free one and prints it."""
    grpc_port: Port
    """Port of the gRPC API; 0 takes a free one and prints it."""
    poll_seconds: float = Field(gt=0)
    """Seconds between two looks for new versions and changed labels on disk."""
    drain_seconds: float = Field(ge=0)
    """Seconds that running requests may take to end after Ctrl-C or SIGTERM."""
    max_body_bytes: int = Field(ge=1)
    """Largest REST request body taken; a larger one is refused with 413."""
    metrics_path: str = Field(pattern=r"^/[\w./-]+$")
    """Where the REST port shows metrics as Prometheus text."""
    ssl_config_file: str
    """SSLConfig file with key and certificates for TLS; empty: plain connections."""
    batching: BatchingConfig
    """Whether and how requests are batched."""
    request_log: RequestLogConfig
    """Whether and how requests are written down."""

    def __post_init__(self) -> None:
        """Refuses one port for both APIs."""
        if self.rest_port == self.grpc_port != 0:
            raise ValueError("rest_port and grpc_port are one port")


@dataclass(frozen=True)
class ServeStageConfig:
    """The sections of params.yaml that `pipeline serve` reads."""

    serve: ServeConfig
