"""One real server process for most tests, and the SavedModels it serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.core.artifacts import Artifacts
from pipeline.core.server_process import Running, running
from pipeline.serve.models import Model
from tests.exported import exported_project
from tests.serve.conformance import Conformance, conforming
from tests.serve.models import config_text, write_model


@pytest.fixture(scope="session")
def version_folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1 (bias 1.0) and version 2 (bias 2.0)."""
    base = tmp_path_factory.mktemp("served") / "half"
    for version in (1, 2):
        write_model(base, version, bias=float(version))
    return base


@pytest.fixture(scope="session")
def exported_once() -> Artifacts:
    """A project with the exported model `shop`; only to look at."""
    return exported_project()


@pytest.fixture(scope="session")
def server(
    version_folders: Path, exported_once: Artifacts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A server process with `half`, versions 1 (champion) and 2 (challenger), and `shop`."""
    path = tmp_path_factory.mktemp("config") / "models.config"
    labels = {"champion": 1, "challenger": 2}
    half = Model("half", version_folders, specific=frozenset({1, 2}), labels=labels)
    shop = Model("shop", exported_once.serving / "shop", labels={"champion": 1})
    path.write_text(config_text(half, shop), encoding="utf-8")
    with running(path, ["--file_system_poll_wait_seconds=0.2"]) as process:
        yield process


@pytest.fixture(scope="session")
def conformance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Conformance]:
    """A server of models for what TensorFlow Serving's own tests ask; only to be asked."""
    with conforming(
        tmp_path_factory.mktemp("conformance"), "--rest_api_enable_cors_support"
    ) as one:
        yield one
