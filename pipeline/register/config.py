"""What `register` can be told."""

from __future__ import annotations

import dataclasses

from pydantic import Field

from pipeline.core.schema import config


@config
class RegisterConfig:
    """The model's place in the registry."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^/:\\\s.'\"`][^/:\\'\"`]*$")
    """Registered model name; also its folder under models/serving and its name in requests."""
    example_rows: int = Field(ge=1, le=100)
    """Rows of the test split kept with a version as its input example."""


@dataclasses.dataclass(frozen=True)
class RegisterStageConfig:
    """The sections of params.yaml that `register` reads."""

    register: RegisterConfig
    """The model's place in the registry."""
    data_name: str
    """Name of the data set, for the version's tags."""
