"""MLflow stores for tests: making one takes seconds, copying one does not."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from pipeline.core.tracking import TrackingConfig, check_store

REPOSITORY = Path(__file__).resolve().parents[1]
TRACKING = TrackingConfig(kind="sqlite", experiment="flights")


def put_store(root: Path) -> Path:
    """Puts a fresh store into `root`; returns its database."""
    root.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(_template(), root / "mlflow.db"))


@functools.cache
def _template() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    root = Path(folder.name)
    check_store(root, TrackingConfig(kind="sqlite", experiment="template"))
    return root / "mlflow.db"


def client(root: Path) -> Any:
    """MLflow's own client on the store of `root`."""
    import mlflow

    uri = f"sqlite:///{root / 'mlflow.db'}"
    return mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri)


def runs(root: Path, experiment: str = TRACKING.experiment) -> list[Any]:
    """Every MLflow run, oldest first."""
    mlflow = client(root)
    found = mlflow.get_experiment_by_name(experiment)
    return mlflow.search_runs([found.experiment_id], order_by=["start_time ASC"]) if found else []


def count(root: Path, table: str) -> int:
    """Rows of a table of the store; 0 before there is such a table."""
    with closing(sqlite3.connect(root / "mlflow.db")) as database:
        try:
            return int(database.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
        except sqlite3.OperationalError:
            return 0


def start_python(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
    """Starts a program of the project in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
