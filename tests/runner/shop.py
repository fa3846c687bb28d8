"""A small project with one data set, `orders`, for the `pipeline data` commands."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.cli import run_command
from pipeline.compose.compose import compose
from pipeline.core.artifacts import Artifacts
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.ingest import STAGE as INGEST
from pipeline.preprocess import STAGE as PREPROCESS
from tests.conftest import REPOSITORY

ROWS = 300


def orders(rows: int = ROWS, seed: int = 0) -> pd.DataFrame:
    """Orders with a postcode, two dates in order, and a label that follows the weight."""
    random = np.random.default_rng(seed)
    ordered = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 200, rows), "D")
    sent = ordered + pd.to_timedelta(random.integers(1, 9, rows), "D")
    weight = random.integers(10, 990, rows) / 10
    return pd.DataFrame(
        {
            "number": [f"o{seed}-{i}" for i in range(rows)],
            "plz": random.choice(["01067", "10115"], rows),
            "ordered": ordered.strftime("%Y-%m-%d"),
            "sent": sent.strftime("%Y-%m-%d"),
            "weight": weight,
            "shop": random.choice(["north", "south"], rows),
            "late": np.where(weight + random.normal(0, 20, rows) > 50, "yes", "no"),
        }
    )


def make_shop(root: Path, rows: int = ROWS) -> Path:
    """Configs and the schema of `orders`, written strictly by the command; `root` is entered."""
    shutil.copytree(REPOSITORY / "configs", root / "configs", dirs_exist_ok=True)
    (root / "data/source").mkdir(parents=True, exist_ok=True)
    (root / "dvc.yaml").touch()
    orders(rows).to_csv(root / "data/source/orders.csv", index=False)
    (root / "overrides.yaml").write_text("overrides: [data=orders]\n")
    schema = ["data", "schema", "--from", "data/source/orders.csv", "--label", "late", "--strict"]
    assert run_command(schema) == 0
    return root


def prepare(root: Path, overrides: Sequence[str] = ("data=orders",)) -> Artifacts:
    """Runs the real ingest and preprocess in this process."""
    params = compose(root, overrides)
    for stage in (INGEST, PREPROCESS):
        context = Context(root=root, journal=Journal(root / ".pipeline/journal.jsonl"))
        stage.load()(stage.configure(params), Artifacts(root), context)
    return Artifacts(root)
