"""A whole run on a table that has every kind of column, with training rows made up from others."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.conftest import Project

CONFIG = """\
# Rides.
name: rides
source: {kind: file, path: data/source/rides.csv}
joins: {}
columns:
  lat:
    kind: latitude
    longitude: lon
    points: {harbour: [53.5436, 9.9663]}
    cell_degrees: 0.02
    min_count: 5
  lon: {kind: longitude}
  driver: {kind: target, smoothing: 5}
  at: {kind: datetime, parts: [hour], holidays: ["01-01", "2024-05-09"]}
  size: {kind: numeric, buckets: 4}
  note: {kind: text, min_count: 2}
  tags: {kind: list, min_count: 2}
  paid: {kind: boolean}
  importance: {kind: weight}
  company: {kind: group}
crosses:
  where: {of: [lat.cell, size.bucket], buckets: 100}
label: {column: late, task: binary, positive: "yes"}
split: {kind: random, validation_fraction: 0.2, test_fraction: 0.2, seed: 1}
"""
AUGMENTED = (
    "train.augment.noise=0.1",
    "train.augment.mixup=0.2",
    "train.augment.resample=over",
    "evaluate.weighted=true",
)


def rides(rows: int = 3000) -> pd.DataFrame:
    """Rides that are late in the north and with some drivers."""
    random = np.random.default_rng(0)
    north, driver = random.normal(0, 1, rows), random.integers(0, 40, rows)
    careless = np.random.default_rng(1).normal(0, 1, 40)
    late = north + careless[driver] + random.normal(0, 0.7, rows) > 0.8
    at = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 8000, rows), "h")
    return pd.DataFrame(
        {
            "lat": 53.55 + north / 50,
            "lon": 10 + random.normal(0, 0.02, rows),
            "driver": [f"d{one}" for one in driver],
            "at": at.strftime("%Y-%m-%dT%H:%M"),
            "size": random.lognormal(0, 1, rows),
            "note": random.choice(["two bags", "a dog", "bags and a dog", ""], rows),
            "tags": random.choice(["card;app", "app", "cash"], rows),
            "paid": random.choice([True, False], rows),
            "importance": random.uniform(0.5, 2, rows),
            "company": driver % 20,
            "late": np.where(late, "yes", "no"),
        }
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_kind_of_column_is_trained_and_exported(project: Project):
    rides().to_csv(project.root / "data/source/rides.csv", index=False)
    (project.root / "configs/data/rides.yaml").write_text(CONFIG)
    done = project.run("pipeline", "run", "data=rides", "train.epochs=6", *AUGMENTED)
    assert done.returncode == 0, done.stdout + done.stderr
    export = json.loads((project.root / "models/exported/export.json").read_text())
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    assert export["largest_difference"] <= params["export"]["tolerance"]
    features = json.loads((project.root / "data/processed/features.json").read_text())
    served = {column["name"] for column in features["columns"]}
    assert served == {"lat", "lon", "driver", "at", "size", "note", "tags", "paid"}
    metrics = json.loads((project.root / "models/evaluation/metrics.json").read_text())
    assert metrics["test"]["auc"] > 0.8
