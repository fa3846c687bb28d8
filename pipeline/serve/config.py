"""What can be set about serving."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from pipeline.core.schema import config

Port = Annotated[int, Field(ge=0, le=65_535)]


@config
class ServeConfig:
    """Where `pipeline serve` listens, and how it goes about new versions and its end."""

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


@dataclass(frozen=True)
class ServeStageConfig:
    """The sections of params.yaml that `pipeline serve` reads."""

    serve: ServeConfig
