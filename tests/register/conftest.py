"""A trained and judged model in a project of its own, made once and copied for each test."""

from __future__ import annotations

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from pipeline.core.artifacts import Artifacts, write_json
from pipeline.core.features import FeatureSet, Label
from pipeline.core.records import Check, TrainingRecord, Verdict
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.core.tracking import RUN_VARIABLE, journal_for, open_run
from pipeline.register.config import RegisterConfig, RegisterStageConfig
from tests.core.feature_examples import everything, rows
from tests.stores import TRACKING, put_store

NAME = "flights"
CONFIG = RegisterStageConfig(register=RegisterConfig(name=NAME, example_rows=5), data_name=NAME)
PARAMS = {
    "register": {"name": NAME, "example_rows": 5},
    "data": {"name": NAME},
    "tracking": dump(TRACKING),
}
CHECK = Check(
    name="auc",
    metric="auc",
    slice=None,
    kind="absolute",
    greater_is_better=True,
    bound=0.7,
    value=0.71234567,
    passed=True,
)


@dataclass(frozen=True)
class Trained:
    """A project right before `register`."""

    root: Path

    @property
    def artifacts(self) -> Artifacts:
        return Artifacts(self.root)

    def judge(self, model_hash: str, verdict: str = "VALIDATED", *reasons: str) -> None:
        """As if `train` had made this model and `evaluate` had judged it."""
        self.artifacts.training.write(training(model_hash))
        self.artifacts.verdict.write(
            Verdict(
                verdict=verdict,
                checks=(CHECK,),
                champion_version=None,
                model_hash=model_hash,
                reasons=reasons,
            )
        )

    def register(self, experiment: str | None = None) -> None:
        """Runs the stage as the runner does."""
        from pipeline.register.stage import run

        identity = open_run(self.root, PARAMS)
        journal = journal_for(self.root, identity, "register")
        journal.start()
        context = Context(root=self.root, journal=journal, experiment=experiment, tracking=TRACKING)
        run(CONFIG, self.artifacts, context)
        journal.finish("FINISHED")


def training(model_hash: str) -> TrainingRecord:
    return TrainingRecord(
        model_hash=model_hash,
        model="mlp",
        parameters=10,
        epochs=1,
        best_epoch=0,
        seconds=1.0,
        examples_per_second=10.0,
        peak_memory_bytes=1,
        validation_loss=0.5,
    )


def write_model(artifacts: Artifacts, features: FeatureSet) -> None:
    """Features, splits and an untrained end-to-end model."""
    import keras

    from pipeline.core.features import index_columns
    from pipeline.core.model import end_to_end

    write_json(artifacts.features.path, dump(features))
    for seed, split in enumerate(("train", "validation", "test")):
        artifacts.split(split).write(rows(40, seed))
    keras.utils.set_random_seed(1)
    dense = keras.Input((len(features.dense_names),), name="dense")
    indices = keras.Input((len(index_columns(features.features)),), dtype="int32", name="indices")
    numbers = keras.layers.Rescaling(0.01)(indices)
    joined = keras.layers.Concatenate()([dense, numbers])
    logits = keras.layers.Dense(max(len(features.label.classes), 1), name="logits")(joined)
    core = keras.Model({"dense": dense, "indices": indices}, logits)
    artifacts.model.parent.mkdir(parents=True, exist_ok=True)
    end_to_end(features, core).save(artifacts.model)


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    write_model(Artifacts(root), everything)
    put_store(root)
    write_json(Artifacts(root).metrics, {"test": {"auc": 0.7}})
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS))
    Trained(root).judge("a" * 64)
    return root


@pytest.fixture(scope="session")
def regression_once(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("regression")
    label = Label(column="y", task="regression", mean=10.0, scale=2.0)
    write_model(Artifacts(root), dataclasses.replace(everything, label=label))
    return root


@pytest.fixture
def trained(trained_once, tmp_path, monkeypatch) -> Trained:
    for name in (RUN_VARIABLE, "DVC_EXP_NAME", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(trained_once, tmp_path / "project")
    return Trained(tmp_path / "project")


@pytest.fixture(scope="session")
def registered_once(trained_once, tmp_path_factory) -> Trained:
    """A project with one registered version; not to be changed."""
    root = tmp_path_factory.mktemp("registered") / "project"
    shutil.copytree(trained_once, root)
    with pytest.MonkeyPatch.context() as patch:
        for name in (RUN_VARIABLE, "DVC_EXP_NAME", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        Trained(root).register()
    return Trained(root)
