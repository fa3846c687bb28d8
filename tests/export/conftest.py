"""Projects up to their registered model."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.runtime import quiet_tensorflow
from pipeline.export.config import ExportConfig, ExportStageConfig
from tests.core.feature_examples import everything, rows
from tests.exported import put_registered, put_trained

quiet_tensorflow()

CONFIG = ExportStageConfig(
    export=ExportConfig(parity_rows=50, tolerance=1e-5, warmup_rows=8, keep_versions=1)
)


@pytest.fixture
def project(tmp_path: Path) -> Artifacts:
    """A trained model, registered as version 1 and champion of `shop`."""
    artifacts = put_trained(tmp_path, everything, rows(200))
    put_registered(artifacts, "shop", 1, "champion")
    return artifacts
