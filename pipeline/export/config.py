"""What can be set about publishing a model to be served."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from pipeline.core.schema import config


@config
class ServerCheck:
    """The embedded server as the last check: it must load the version and answer as trained."""

    rows: int = Field(ge=0)
    """Real test rows sent over REST and over gRPC before publishing; 0 starts no server."""
    start_seconds: float = Field(gt=0)
    """Longest that starting the server and loading the version may take, in seconds."""
    request_seconds: float = Field(gt=0)
    """Longest that one request of up to 64 rows may take, in seconds."""
    memory_bytes: int = Field(ge=1)
    """Most resident memory of the server's process, TensorFlow itself (some 600 MB) included."""


@config
class ExportConfig:
    """The proof before publishing, and what stays on disk."""

    parity_rows: int = Field(ge=1)
    """Real test rows sent through both the trained and the exported model, evenly spread."""
    tolerance: float = Field(gt=0)
    """Largest difference allowed in any score, 0 to 1; for regression in standard deviations."""
    warmup_rows: int = Field(ge=1, le=10_000)
    """Rows of the larger warm-up request that a server answers before it takes traffic."""
    keep_versions: int = Field(ge=1)
    """Newest version folders kept; champion and challenger are kept besides."""
    server: ServerCheck
    """What the embedded server must be able to do before a version is published."""


@dataclass(frozen=True)
class ExportStageConfig:
    """The sections of params.yaml that this stage reads."""

    export: ExportConfig
