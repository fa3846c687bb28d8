"""The door of `export`: write, prove, publish, tell the server."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.errors import ConfigError, DataError, PipelineError
from pipeline.core.features import FeatureSet
from pipeline.core.model import RawColumnsModel, load_model
from pipeline.core.publishing import publish_folder
from pipeline.core.records import ExportRecord, Registration
from pipeline.core.saved_model import write_saved_model
from pipeline.core.serving_config import publish_serving_config
from pipeline.core.stage import Context
from pipeline.core.tracking import open_registry
from pipeline.export.config import ExportConfig, ExportStageConfig
from pipeline.export.proof import expected_scores, largest_difference
from pipeline.export.served import Expected, WaitingServer, waiting_server
from pipeline.export.versions import (
    Identity,
    check_identity,
    folder_bytes,
    prune,
    write_identity,
)
from pipeline.export.warmup import write_warmup


@dataclass(frozen=True)
class Candidate:
    """What is to be published.

    Attributes:
        registration: Its name and version in the registry.
        model: The trained model.
        features: Its features.
        rows: Real test rows in served dtypes, one at least.
    """

    registration: Registration
    model: RawColumnsModel
    features: FeatureSet
    rows: pd.DataFrame


def run(config: ExportStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Publishes the registered model as a version folder, if it answers as the trained one does.

    Raises:
        PipelineError: The proof failed, or the version folder holds another model.
        DataError: There are no test rows to prove it with.
    """
    settings = config.export
    candidate = _candidate(artifacts, settings.parity_rows)
    with (
        _server(settings, candidate.registration, artifacts.serving) as server,
        _version_folder(candidate, artifacts.serving, settings.warmup_rows) as folder,
    ):
        difference = largest_difference(
            candidate.model, candidate.features, folder, candidate.rows, settings.tolerance
        )
        if server:
            served = server.validate(folder, _expected(candidate, settings))
            difference = max(difference, served)
        record = _record(candidate, folder, difference, settings.tolerance)
    if record.version is not None:
        _tell_servers(settings, artifacts, context, record.name)
    artifacts.export.write(record)
    _tell(record, context, artifacts)


def _server(
    settings: ExportConfig, registration: Registration, serving: Path
) -> AbstractContextManager[WaitingServer | None]:
    """The server that is to try a new version; None where nothing new will be published."""
    version = registration.version
    if not settings.server.rows or version is None:
        return nullcontext()
    if (serving / registration.name / str(version)).exists():
        return nullcontext()
    return waiting_server(settings.server)


def _expected(candidate: Candidate, settings: ExportConfig) -> Expected:
    frame = _spread(candidate.rows, settings.server.rows)
    scores = expected_scores(candidate.model, candidate.features, frame)
    return Expected(frame, scores, candidate.features, settings.tolerance)


def _candidate(artifacts: Artifacts, wanted_rows: int) -> Candidate:
    registration = artifacts.registration.read()
    trained = artifacts.training.read().model_hash
    if registration.model_hash != trained:
        raise PipelineError(
            f"model {registration.model_hash[:12]} is registered, {trained[:12]} is trained",
            expected="the trained model to be the registered one",
            remedy="run `pipeline run`: it registers before it exports",
        )
    features = artifacts.features.read()
    test = artifacts.split("test").read([column.name for column in features.columns])
    if test.empty:
        raise DataError(
            "the test split has no rows to prove the export with",
            expected="one row at least",
            remedy="give data.split a larger test share",
        )
    return Candidate(
        registration, load_model(artifacts.model), features, _spread(test, wanted_rows)
    )


def _spread(frame: pd.DataFrame, wanted: int) -> pd.DataFrame:
    """Rows spread evenly over the frame, in order."""
    chosen = np.linspace(0, len(frame) - 1, min(wanted, len(frame))).astype(np.int64)
    return frame.iloc[np.unique(chosen)].reset_index(drop=True)


@contextmanager
def _version_folder(candidate: Candidate, serving: Path, warmup_rows: int) -> Iterator[Path]:
    """The SavedModel while it is proved; published when the block ends well.

    A version that is published already is proved again and left as it is. Without a version (a
    DVC experiment) the folder is thrown away.
    """
    name, version = candidate.registration.name, candidate.registration.version
    model, features = candidate.model, candidate.features
    if version is None:
        with tempfile.TemporaryDirectory() as folder:
            write_saved_model(model, features, Path(folder), None)
            yield Path(folder)
        return
    identity = Identity(name=name, version=version, model_hash=candidate.registration.model_hash)
    target = serving / name / str(version)
    if target.exists():
        check_identity(target, identity)
        yield target
        return
    with publish_folder(target) as aside:
        write_saved_model(model, features, aside, version)
        write_warmup(candidate.rows.head(warmup_rows), features, name, aside)
        write_identity(aside, identity)
        yield aside


def _record(
    candidate: Candidate, folder: Path, difference: float, tolerance: float
) -> ExportRecord:
    registration = candidate.registration
    return ExportRecord(
        name=registration.name,
        version=registration.version,
        model_hash=registration.model_hash,
        rows_compared=len(candidate.rows),
        largest_difference=difference,
        tolerance=tolerance,
        bytes=folder_bytes(folder),
        weight_bytes=sum(variable.value.numpy().nbytes for variable in candidate.model.variables),
    )


def _tell_servers(config: ExportConfig, artifacts: Artifacts, context: Context, name: str) -> None:
    """Writes models.config anew, then drops the versions that no server needs."""
    if context.tracking is None:
        raise ConfigError("config key 'tracking' is missing", remedy="run `pipeline run`")
    registry = open_registry(context.root, context.tracking)
    models = publish_serving_config(artifacts, registry.aliases)
    needed = {
        version
        for model in models
        if model.name == name
        for version in (*model.versions, *model.labels.values())
    }
    for version in prune(artifacts.serving / name, config.keep_versions, needed):
        say(f"removed version {version}: older than the newest {config.keep_versions}")


def _tell(record: ExportRecord, context: Context, artifacts: Artifacts) -> None:
    context.journal.params({"export.tolerance": record.tolerance})
    context.journal.metrics(
        {
            "export.largest_difference": record.largest_difference,
            "export.rows_compared": float(record.rows_compared),
            "export.bytes": float(record.bytes),
        }
    )
    context.journal.artifact(artifacts.export.path)
    where = "nothing published" if record.version is None else f"version {record.version}"
    say(
        f"{record.name}: {where}, {record.bytes / 1e6:.2f} MB, largest difference"
        f" {record.largest_difference:.1e} over {record.rows_compared} rows"
    )
