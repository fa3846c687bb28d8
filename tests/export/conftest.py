"""Projects up to their registered or exported model: made once, copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.core.artifacts import Artifacts
from tests.exported import exported_project, registered_project


@pytest.fixture(scope="session")
def exported_once() -> Artifacts:
    """An exported project, only to look at."""
    return exported_project()


@pytest.fixture
def registered(tmp_path: Path) -> Artifacts:
    """A project up to its registered model, to work with."""
    return Artifacts(shutil.copytree(registered_project().root, tmp_path / "project"))


@pytest.fixture
def exported(tmp_path: Path) -> Artifacts:
    """An exported project, to work with."""
    return Artifacts(shutil.copytree(exported_project().root, tmp_path / "project"))
