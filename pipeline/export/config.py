"""What can be set about publishing a model to be served."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from pipeline.core.schema import config


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


@dataclass(frozen=True)
class ExportStageConfig:
    """The sections of params.yaml that this stage reads."""

    export: ExportConfig
