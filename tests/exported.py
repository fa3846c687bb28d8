"""A project up to its registered model, made in a second: for tests of `export` and `serve`."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import keras
import pandas as pd

from pipeline.core.artifacts import Artifacts
from pipeline.core.features import FeatureSet
from pipeline.core.model import RawColumnsModel, end_to_end
from pipeline.core.records import Registration, TrainingRecord
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.export.config import ExportConfig, ExportStageConfig, ServerCheck
from pipeline.export.stage import run
from tests.core.feature_examples import everything, rows
from tests.stores import TRACKING, client, put_store


def small_model(features: FeatureSet, seed: int = 0) -> RawColumnsModel:
    """A model that was never trained; another seed is another model."""
    keras.utils.set_random_seed(seed)
    dense = keras.Input((len(features.dense_names),), name="dense")
    indices = keras.Input((len(features.index_columns),), dtype="int32", name="indices")
    parts = [
        keras.layers.Embedding(column.cardinality, 2)(indices[:, position])
        for position, column in enumerate(features.index_columns)
    ]
    outputs = len(features.label.classes) if features.label.task == "multiclass" else 1
    joined = keras.layers.Concatenate()([dense, *parts])
    logits = keras.layers.Dense(outputs, name="logits")(joined)
    return end_to_end(features, keras.Model({"dense": dense, "indices": indices}, logits))


def put_trained(root: Path, features: FeatureSet, test: pd.DataFrame, seed: int = 0) -> Artifacts:
    """Writes processed data and a trained model; its hash is `model-SEED`."""
    artifacts = Artifacts(root)
    with artifacts.processed.publish() as folder:
        test.to_parquet(folder / "test.parquet")
    artifacts.features.write(features)
    with artifacts.trained.publish() as folder:
        small_model(features, seed).save(folder / "model.keras")
    artifacts.training.write(
        TrainingRecord(
            model_hash=f"model-{seed}",
            model="small",
            parameters=1,
            epochs=1,
            best_epoch=0,
            seconds=1.0,
            examples_per_second=1.0,
            peak_memory_bytes=1,
            validation_loss=1.0,
        )
    )
    return artifacts


def put_registered(
    artifacts: Artifacts, name: str, version: int | None, alias: str | None = None
) -> None:
    """Registers the trained model: in the record, and with a version and alias in MLflow."""
    if version is not None:
        if not (artifacts.root / "mlflow.db").exists():
            put_store(artifacts.root)
        mlflow = client(artifacts.root)
        if version == 1:
            mlflow.create_registered_model(name)
        made = mlflow.create_model_version(name, source=str(artifacts.root))
        assert int(made.version) == version
        mlflow.set_registered_model_alias(name, alias, made.version)
    artifacts.registration.write(
        Registration(
            name=name,
            version=version,
            model_hash=artifacts.training.read().model_hash,
            run_id=None,
            alias=alias,
        )
    )


CONFIG = ExportStageConfig(
    export=ExportConfig(
        parity_rows=50,
        tolerance=1e-5,
        warmup_rows=8,
        keep_versions=1,
        server=ServerCheck(rows=0, start_seconds=120, request_seconds=60, memory_bytes=2**33),
    )
)


@functools.cache
def registered_project() -> Artifacts:
    """A trained model, registered as version 1 and champion of `shop`; only to look at."""
    artifacts = put_trained(_folder() / "registered", everything, rows(200))
    put_registered(artifacts, "shop", 1, "champion")
    return artifacts


@functools.cache
def exported_project() -> Artifacts:
    """The same, exported; only to look at."""
    root = _folder() / "exported"
    shutil.copytree(registered_project().root, root)
    run(CONFIG, Artifacts(root), context(root))
    return Artifacts(root)


@functools.cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(folder.name)


def context(root: Path, experiment: str | None = None) -> Context:
    """What a stage gets to know."""
    journal = Journal(root / ".pipeline" / "journal" / "export.jsonl")
    return Context(root=root, journal=journal, experiment=experiment, tracking=TRACKING)
