"""Small real tables, features and trained models, and the stage run on them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.core.artifacts import Artifacts
from pipeline.core.encoding import encode
from pipeline.core.features import CategoricalFeature, Column, FeatureSet, Label, NumericFeature
from pipeline.core.model import end_to_end
from pipeline.core.records import LABEL, TrainingRecord
from pipeline.core.schema import build
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.evaluate.config import EvaluateConfig, EvaluateStageConfig
from pipeline.evaluate.stage import run

DEFAULTS = Path(__file__).parents[2] / "configs" / "evaluate" / "default.yaml"
LABELS = {
    "binary": Label(column="y", task="binary", classes=("on time", "late")),
    "multiclass": Label(column="y", task="multiclass", classes=("a", "b", "c")),
    "regression": Label(column="y", task="regression", mean=10.0, scale=4.0),
}
SIZES = {"train": 900, "validation": 300, "test": 400}


def options(**changes: Any) -> EvaluateConfig:
    """The default options with a few resamples; `changes` replace whole sections."""
    plain = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))
    plain["bootstrap"]["resamples"] = 40
    plain["latency"] = {"calls": 5, "batch_rows": 64}
    return build(EvaluateConfig, plain | changes, "evaluate")


def features_for(task: str) -> FeatureSet:
    """Two numbers and a word."""
    return FeatureSet(
        columns=(
            Column(name="x", dtype="float64"),
            Column(name="u", dtype="float64"),
            Column(name="city", dtype="string"),
        ),
        label=LABELS[task],
        features=(
            NumericFeature(name="x", column="x"),
            NumericFeature(name="u", column="u"),
            CategoricalFeature(name="city", column="city", vocabulary=("Oslo", "Łódź", "$x^")),
        ),
        kept=("row",),
        rows=SIZES,
    )


def table(task: str, rows: int, seed: int) -> pd.DataFrame:
    """Rows whose label depends on x, a little on the city and on x times u (not linear)."""
    draw = np.random.default_rng(seed)
    x, u = draw.normal(size=(2, rows))
    city = draw.choice(["Oslo", "Łódź", "$x^", ""], rows, p=[0.5, 0.3, 0.15, 0.05])
    signal = 1.5 * x + 1.5 * x * u + (city == "Oslo") + draw.normal(size=rows)
    label = {
        "binary": (signal > 0.5).astype(np.int64),
        "multiclass": np.digitize(signal, [-0.7, 1.2]).astype(np.int64),
        "regression": 10 + 4 * signal,
    }[task]
    columns = {"x": x, "u": u, "city": pd.array(city, dtype="str"), "row": np.arange(rows)}
    return pd.DataFrame(columns | {LABEL: label})


def trained_model(features: FeatureSet, frame: pd.DataFrame, epochs: int) -> Any:
    """A small network, fitted on the encoded rows."""
    keras.utils.set_random_seed(1)
    task, label = features.label.task, features.label
    encoded = encode(frame, features)
    inputs = {
        "dense": keras.Input((encoded.dense.shape[1],), name="dense"),
        "indices": keras.Input((encoded.indices.shape[1],), dtype="int32", name="indices"),
    }
    word = keras.layers.Embedding(5, 4)(inputs["indices"])
    both = keras.layers.Concatenate()([inputs["dense"], keras.layers.Flatten()(word)])
    hidden = keras.layers.Dense(16, activation="relu", name="hidden")(both)
    outputs = keras.layers.Dense(3 if task == "multiclass" else 1, name="outputs")(hidden)
    core = keras.Model(inputs, outputs)
    loss = {
        "binary": keras.losses.BinaryCrossentropy(from_logits=True),
        "multiclass": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "regression": keras.losses.MeanSquaredError(),
    }[task]
    target = frame[LABEL].to_numpy()
    if task == "regression":
        target = (target - label.mean) / label.scale
    core.compile(keras.optimizers.Adam(0.02), loss)
    arrays = {"dense": encoded.dense, "indices": encoded.indices}
    core.fit(arrays, target, epochs=epochs, batch_size=64, verbose=0)
    return end_to_end(features, core)


@dataclass(frozen=True)
class Workshop:
    """A project folder with everything `evaluate` reads."""

    artifacts: Artifacts
    features: FeatureSet

    @property
    def context(self) -> Context:
        """A context without a registry."""
        root = self.artifacts.root
        return Context(root=root, journal=Journal(root / "journal" / "evaluate.jsonl"))

    def evaluate(self, context: Context | None = None, name: str = "toy", **changes: Any) -> None:
        """Runs the stage with `options(**changes)` for the registered model `name`."""
        config = EvaluateStageConfig(evaluate=options(**changes), name=name)
        run(config, self.artifacts, context or self.context)

    def copy(self, root: Path) -> Workshop:
        """Another project with the same splits, features and model."""
        for name in ("data", "models/trained"):
            shutil.copytree(self.artifacts.root / name, root / name)
        return replace(self, artifacts=Artifacts(root))


def workshop(root: Path, task: str, epochs: int = 6) -> Workshop:
    """Writes splits, features, a trained model and its record."""
    artifacts, features = Artifacts(root), features_for(task)
    frames = {name: table(task, rows, seed) for seed, (name, rows) in enumerate(SIZES.items())}
    for name, frame in frames.items():
        artifacts.split(name).write(frame)
    artifacts.features.write(features)
    model = trained_model(features, frames["train"], epochs)
    artifacts.model.parent.mkdir(parents=True)
    model.save(artifacts.model)
    artifacts.training.write(record(model.count_params()))
    return Workshop(artifacts, features)


def record(parameters: int, model_hash: str = "abc") -> TrainingRecord:
    """What `train` would have said."""
    return TrainingRecord(
        model_hash=model_hash,
        model="mlp",
        parameters=parameters,
        epochs=6,
        best_epoch=5,
        seconds=1.25,
        examples_per_second=4000.0,
        peak_memory_bytes=500_000_000,
        validation_loss=0.5,
    )


@pytest.fixture(scope="session")
def trained_binary(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A trained binary model; read only."""
    return workshop(tmp_path_factory.mktemp("binary"), "binary")


@pytest.fixture(scope="session", params=["binary", "multiclass", "regression"])
def any_workshop(
    request: pytest.FixtureRequest,
    trained_binary: Workshop,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workshop:
    """A trained model of each task; read only."""
    if request.param == "binary":
        return trained_binary
    return workshop(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture
def binary(trained_binary: Workshop, tmp_path: Path) -> Workshop:
    """A trained binary model to do with as one likes."""
    return trained_binary.copy(tmp_path / "binary")
