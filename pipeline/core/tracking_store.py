"""Opens the MLflow store: makes a missing one, names what is wrong with a bad one.

The only other modules that may import MLflow are `tracking_*` here and the one that packs a model
in `register`. MLflow is imported when this module is, so import this one late.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Read by MLflow when it is imported. No usage reports; and a server that is down is noticed in
# seconds, not after MLflow's default of seven retries with doubling pauses (over four minutes).
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")

import mlflow
import requests
import sqlalchemy.exc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.core.artifacts import STATE
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.publishing import exclusive, publish_file
from pipeline.core.tracking import TrackingConfig

DATABASE = "mlflow.db"
FILES = "mlruns"
"""Both are MLflow's own defaults, so plain `mlflow` in the project folder finds the same store."""

_LOCK_SECONDS = 120


@dataclass(frozen=True)
class Store:
    """An open MLflow store.

    Attributes:
        client: MLflow's client for runs and registered models.
        uri: Its address; may hold credentials, so it is never shown.
        where: Its address as shown to people.
        base: The project folder that locks and downloads are kept in: the main one, also for a
            DVC experiment that runs in a copy.
        experiment_id: MLflow experiment that runs go to.
    """

    client: Any
    uri: str
    where: str
    base: Path
    experiment_id: str

    @contextmanager
    def asked(self) -> Iterator[None]:
        """Turns whatever goes wrong while the store is asked into one clear error."""
        with _explained(self.where):
            yield


def open_store(root: Path, tracking: TrackingConfig) -> Store:
    """Opens the store that `tracking` names and makes what is missing.

    Raises:
        ConfigError: `server` is chosen without MLFLOW_TRACKING_URI.
        PipelineError: The store does not answer, is damaged, or was made by another MLflow.
    """
    base = main_root(root)
    uri = store_uri(root, tracking)
    where = hide_credentials(uri)
    for talkative in ("alembic", "mlflow"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    # It prints every database error with its traceback; they are raised and explained too.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    if tracking.kind == "sqlite":
        _ready_database(base)
    with _explained(where):
        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        experiment_id = _experiment(client, base, tracking)
    return Store(client=client, uri=uri, where=where, base=base, experiment_id=experiment_id)


def main_root(root: Path) -> Path:
    """The project folder; for a DVC experiment in a copy of it, the one it was copied from."""
    main = os.environ.get("DVC_ROOT")
    if main and root.resolve().is_relative_to(Path(main).resolve() / ".dvc" / "tmp"):
        return Path(main)
    return root


def store_uri(root: Path, tracking: TrackingConfig) -> str:
    """Address of the store as MLflow takes it.

    Raises:
        ConfigError: `server` is chosen without MLFLOW_TRACKING_URI.
    """
    if tracking.kind == "sqlite":
        return f"sqlite:///{(main_root(root) / DATABASE).resolve()}"
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        raise ConfigError(
            "tracking=server is chosen, but MLFLOW_TRACKING_URI is not set",
            expected="the address of an MLflow server",
            remedy="export MLFLOW_TRACKING_URI=https://..., or choose tracking=sqlite",
        )
    return uri


def hide_credentials(text: str) -> str:
    """`text` without user names and passwords in its addresses."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def _ready_database(base: Path) -> None:
    path = base / DATABASE
    if not path.exists() or path.stat().st_size == 0:
        with exclusive(base / STATE / "locks" / "mlflow.lock", "the MLflow store", _LOCK_SECONDS):
            if not path.exists() or path.stat().st_size == 0:
                _make_database(path, base / FILES)
    _check_database(path)


def _make_database(path: Path, files: Path) -> None:
    """Makes the tables aside, so that a half-made store never bears the real name."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    with _explained(str(path)), publish_file(path) as aside:
        store = SqlAlchemyStore(f"sqlite:///{aside.resolve()}", files.resolve().as_uri())
        store.engine.dispose()


def _check_database(path: Path) -> None:
    """Asks SQLite itself, before MLflow would try to repair what it does not know."""
    remedy = (
        f"move {path.name} aside (a new one is made; runs and registered models then start"
        " anew), or restore it from a backup"
    )
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as database:
            row = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.DatabaseError as error:
        raise PipelineError(
            f"{path} is not a readable MLflow database: {error}", "an SQLite file", remedy
        ) from error
    if row is None or row[0] not in _known_revisions():
        raise PipelineError(
            f"{path} was made by a newer MLflow (its schema is {row[0] if row else 'unknown'})",
            expected=f"a schema that MLflow {mlflow.__version__} knows",
            remedy=f"install a newer MLflow, or {remedy}",
        )
    if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise PipelineError(
            f"{path} or its folder cannot be written",
            remedy="give this user write permission there",
        )


def _known_revisions() -> set[str]:
    """Schema revisions of the installed MLflow: its migration files are named after them."""
    folder = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    return {path.name.split("_")[0].removesuffix(".py") for path in folder.glob("*.py")}


def _experiment(client: Any, base: Path, tracking: TrackingConfig) -> str:
    found = client.get_experiment_by_name(tracking.experiment)
    if found is None:
        location = None
        if tracking.kind == "sqlite":
            folder = base / FILES / quote(tracking.experiment, safe="")
            location = folder.resolve().as_uri()
        try:
            return str(client.create_experiment(tracking.experiment, artifact_location=location))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(tracking.experiment)
    if found.lifecycle_stage != "active":
        raise PipelineError(
            f"the MLflow experiment '{tracking.experiment}' was deleted",
            remedy=f"run `mlflow experiments restore -x {found.experiment_id}`, or choose another"
            " tracking.experiment",
        )
    return str(found.experiment_id)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, sqlalchemy.exc.SQLAlchemyError, requests.RequestException) as error:
        text = hide_credentials(str(error)).strip()
        first = text.splitlines()[0][:400] if text else type(error).__name__
        raise PipelineError(
            f"the MLflow store {where} did not do as asked: {first}", remedy=_remedy(text)
        ) from error


def _remedy(text: str) -> str:
    """What to do about MLflow's or SQLite's own words."""
    for words, remedy in (
        ("out-of-date database schema", f"copy {DATABASE}, then run `mlflow db upgrade` on it"),
        ("malformed", f"restore {DATABASE} from a backup, or move it aside for a new one"),
        ("not a database", f"restore {DATABASE} from a backup, or move it aside for a new one"),
        ("readonly", f"give this user write permission on {DATABASE} and its folder"),
        ("unable to open", f"give this user write permission on {DATABASE} and its folder"),
        ("disk is full", "free some disk space, then run again"),
        ("is locked", "wait until other runs have ended, then run again"),
        ("401", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"),
        ("403", "ask for permission on the server, or use another user"),
        ("Max retries", "start the server or correct MLFLOW_TRACKING_URI, then run again"),
    ):
        if words in text:
            return remedy
    return "see MLflow's message above; `pipeline doctor` checks the store"
