"""Projects up to their registered or exported model: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.runtime import quiet_tensorflow
from pipeline.export.config import ExportConfig, ExportStageConfig
from pipeline.export.stage import run
from tests.core.feature_examples import everything, rows
from tests.exported import context, put_registered, put_trained

quiet_tensorflow()

CONFIG = ExportStageConfig(
    export=ExportConfig(parity_rows=50, tolerance=1e-5, warmup_rows=8, keep_versions=1)
)


@pytest.fixture(scope="session")
def registered_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained model, registered as version 1 and champion of `shop`."""
    root = tmp_path_factory.mktemp("registered")
    put_registered(put_trained(root, everything, rows(200)), "shop", 1, "champion")
    return root


@pytest.fixture(scope="session")
def exported_once(registered_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The same, exported; only to look at."""
    root = tmp_path_factory.mktemp("exported") / "project"
    shutil.copytree(registered_once, root)
    run(CONFIG, Artifacts(root), context(root))
    return Artifacts(root)


@pytest.fixture
def registered(registered_once: Path, tmp_path: Path) -> Artifacts:
    """A copy to work with."""
    return Artifacts(shutil.copytree(registered_once, tmp_path / "project"))


@pytest.fixture
def exported(exported_once: Artifacts, tmp_path: Path) -> Artifacts:
    """A copy to work with."""
    return Artifacts(shutil.copytree(exported_once.root, tmp_path / "project"))
