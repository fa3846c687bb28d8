"""Small worlds with a known rule: processed splits and features as `preprocess` leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.core.artifacts import Artifacts
from pipeline.core.features import CategoricalFeature, Column, FeatureSet, Label, NumericFeature
from pipeline.core.records import LABEL, SPLITS
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.train import STAGE
from pipeline.train.config import TrainStageConfig

REPOSITORY = Path(__file__).resolve().parents[2]
WORDS = ("red", "green", "blue")
ROWS = {"train": 600, "validation": 200, "test": 200}

LABELS = {
    "binary": Label(column="y", task="binary", classes=("no", "yes")),
    "multiclass": Label(column="y", task="multiclass", classes=WORDS),
    "regression": Label(column="y", task="regression", mean=10.0, scale=4.0),
    "xor": Label(column="y", task="binary", classes=("same", "other")),
}


def features(task: str) -> FeatureSet:
    """Two numbers and a word."""
    numbers = tuple(NumericFeature(name=name, column=name) for name in ("x", "z"))
    word = CategoricalFeature(name="word", column="word", vocabulary=WORDS, dimension=3)
    return FeatureSet(
        columns=(
            Column(name="x", dtype="float64"),
            Column(name="z", dtype="float64"),
            Column(name="word", dtype="string"),
        ),
        label=LABELS[task],
        features=(*numbers, word),
        rows=dict(ROWS),
    )


def frame(task: str, rows: int, seed: int) -> pd.DataFrame:
    """Rows whose label follows from their columns, with a margin for classes."""
    rng = np.random.default_rng(seed)
    x, z = rng.choice([-1.0, 1.0], (2, rows)) * rng.uniform(0.3, 1.5, (2, rows))
    word = rng.integers(0, 3, rows)
    rules = {
        "binary": ((x + z) / 2 + word - 1 > 0).astype(np.int64),
        "multiclass": word.astype(np.int64),
        "regression": 10 + 2 * x - z + 3.0 * (word == 2),
        "xor": (x * z > 0).astype(np.int64),
    }
    table = {"x": x, "z": z, "word": pd.Series(np.array(WORDS)[word], dtype="str")}
    return pd.DataFrame({**table, LABEL: rules[task]})


def processed(root: Path, task: str) -> Artifacts:
    """Writes data/processed under `root`."""
    artifacts = Artifacts(root)
    (root / "data" / "processed").mkdir(parents=True)
    for seed, split in enumerate(SPLITS):
        artifacts.split(split).write(frame(task, ROWS[split], seed))
    artifacts.features.write(features(task))
    return artifacts


def params(model: str = "mlp", **changes: Any) -> dict[str, Any]:
    """The sections of the shipped YAML files, with changes by dotted key (`__` for the dot)."""
    sections = {
        "train": read_yaml("train/default"),
        "model": read_yaml(f"model/{model}"),
        "strategy": read_yaml("strategy/one_device"),
        "launcher": read_yaml("launcher/local"),
    }
    quick = {"train__epochs": 3, "train__global_batch_size": 64, "train__tensorboard": False}
    for key, value in {**quick, **changes}.items():
        *path, last = key.split("__")
        section: Any = sections
        for part in path:
            section = section[part]
        section[last] = value
    return sections


def read_yaml(name: str) -> dict[str, Any]:
    """A file of configs/."""
    text = (REPOSITORY / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


def settings(model: str = "mlp", **changes: Any) -> TrainStageConfig:
    """The stage's config."""
    config: TrainStageConfig = STAGE.configure(params(model, **changes))
    return config


def context(root: Path) -> Context:
    """A run of its own."""
    return Context(root=root, journal=Journal(root / ".pipeline" / "runs" / "one" / "train.jsonl"))


def train(artifacts: Artifacts, model: str = "mlp", **changes: Any) -> None:
    """Runs the real stage."""
    STAGE.load()(settings(model, **changes), artifacts, context(artifacts.root))
