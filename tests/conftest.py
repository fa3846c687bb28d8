"""Shared ground of the tests: copies of the project to run real pipelines in."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

# A law that holds is not broken by a busy machine, so no example has a deadline.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

REPOSITORY = Path(__file__).resolve().parents[1]
_COPIED = (
    "pipeline",
    "configs",
    "data/source",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "overrides.yaml",
)


@dataclass(frozen=True)
class Project:
    """A clone of the project in a temporary folder, with git and DVC of its own."""

    root: Path

    def run(
        self, *arguments: str, timeout_seconds: float = 600, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment in the project."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_seconds,
        )

    def command(self, *arguments: str) -> Sequence[str]:
        """`pipeline ...`, `dvc ...` or `git ...` as this project's own code runs it."""
        program, *rest = arguments
        if program in {"pipeline", "dvc"}:
            return [sys.executable, "-m", program, *rest]
        return arguments

    def environment(self, **more: str) -> dict[str, str]:
        """Hermetic: nothing from an outer DVC, MLflow or pipeline run."""
        outer = ("DVC_", "MLFLOW_", "PIPELINE_", "HYDRA_")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(outer)}
        path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
        settings = {
            "PATH": path,
            "PYTHONPATH": str(self.root),
            "DVC_NO_ANALYTICS": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "TF_CPP_MIN_LOG_LEVEL": "2",
        }
        return {**kept, **settings, **more}

    def git(self, *arguments: str) -> str:
        """Runs git as a nameless author; returns what it printed."""
        identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
        done = subprocess.run(
            ["git", *identity, *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout


def make_project(root: Path) -> Project:
    """Copies the project's code and configs to `root` and commits them there."""
    root.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, root / name, ignore=ignored)
        else:
            shutil.copy2(source, root / name)
    (root / ".dvc").mkdir()
    for name in (".gitignore", "config"):
        shutil.copy2(REPOSITORY / ".dvc" / name, root / ".dvc" / name)
    for path in REPOSITORY.glob(".dvc/*.html"):
        shutil.copy2(path, root / ".dvc" / path.name)
    project = Project(root)
    project.git("init", "--quiet")
    project.git("add", ".")
    project.git("commit", "--quiet", "-m", "start")
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh project in which nothing has run yet."""
    return make_project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Penguins from nothing to an exported model; tests leave it as it is."""
    made = make_project(tmp_path_factory.mktemp("trained") / "project")
    done = made.run("pipeline", "run", "data=penguins", "debug=smoke")
    assert done.returncode == 0, done.stdout + done.stderr
    made.git("add", ".")
    made.git("commit", "--quiet", "-m", "trained")
    return made


@pytest.fixture
def copy(trained: Project, tmp_path: Path) -> Project:
    """A copy of the trained project that a test may change."""
    shutil.copytree(trained.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole runs first: they are the longest, and the last of them is not waited for alone."""
    items.sort(key=lambda item: item.path.parent != Path(__file__).parent)
