"""The data sets that come with the project, through the real ingest and preprocess."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from pipeline import ingest, preprocess
from pipeline.core.artifacts import Artifacts
from pipeline.core.records import LABEL, SPLITS
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal

_CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def _prepared(
    root: Path, name: str, sample_rows: int | None, source: dict[str, Any] | None = None
) -> Artifacts:
    parts: dict[str, Any] = {
        "data": OmegaConf.load(_CONFIGS / "data" / f"{name}.yaml"),
        "ingest": OmegaConf.load(_CONFIGS / "ingest" / "default.yaml"),
        "preprocess": OmegaConf.load(_CONFIGS / "preprocess" / "default.yaml"),
    }
    parts["ingest"]["sample_rows"] = sample_rows
    parts["data"]["source"].update(source or {})
    params: Any = OmegaConf.to_container(OmegaConf.create(parts), resolve=True)
    artifacts = Artifacts(root)
    for stage in (ingest.STAGE, preprocess.STAGE):
        context = Context(root=root, journal=Journal(root / f"{stage.name}.jsonl"))
        stage.load()(stage.configure(params), artifacts, context)
    return artifacts


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """A sample of the flights, joined and prepared."""
    return _prepared(tmp_path_factory.mktemp("flights"), "flights", 5000)


def test_penguins(tmp_path: Path) -> None:
    artifacts = _prepared(tmp_path, "penguins", None)
    features = artifacts.features.read()
    assert features.label.classes == ("Adelie", "Chinstrap", "Gentoo")
    assert features.rows == {"train": 206, "validation": 52, "test": 86}
    shares = [artifacts.split(name).read()[LABEL].value_counts(normalize=True) for name in SPLITS]
    assert (pd.concat(shares, axis=1).std(axis=1) < 0.01).all()


def test_flights_know_only_what_is_known_before_departure(flights: Artifacts) -> None:
    columns = {column.name for column in flights.features.read().columns}
    assert not columns & {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "month"}
    record = flights.source.read()
    assert record.source.rows == 336_776
    assert record.matched_fraction["weather"] > 0.98
    raw = flights.raw_table.read()
    assert raw["previous_hours_ago"].min() >= 2
    assert raw["recent_dep_delay"].max() <= 60


def test_flights_are_split_by_time(flights: Artifacts) -> None:
    times = [flights.split(name).read()["time_hour"] for name in SPLITS]
    assert times[0].max() < "2013-10-01" <= times[1].min()
    assert times[1].max() < "2013-11-01" <= times[2].min()
    late = flights.split("train").read()[LABEL].mean()
    assert 0.2 < late < 0.3


def test_the_flights_of_2001_take_a_file_of_their_columns(tmp_path: Path) -> None:
    """The file itself is no part of any package of Python; this one has its columns and dtypes."""
    draw, rows = np.random.default_rng(0), 20_000
    minutes = np.sort(draw.integers(0, 181 * 24 * 60, rows)).astype("timedelta64[m]")
    airports = draw.choice([f"A{i:02d}" for i in range(40)], (2, rows))
    delay = draw.normal(5, 20, rows).round().astype("int64") + 10 * (airports[0] < "A05")
    flown = {
        "date": np.datetime64("2001-01-01T00:01", "us") + minutes,
        "delay": delay,
        "distance": draw.integers(21, 4962, rows),
        "origin": airports[0],
        "destination": airports[1],
    }
    pd.DataFrame(flown).to_parquet(tmp_path / "flights.parquet")
    source = {"path": "flights.parquet", "sha256": None}
    artifacts = _prepared(tmp_path, "flights_2001", None, source)
    features = artifacts.features.read()
    assert {column.name for column in features.columns} == {*flown} - {"delay"}
    assert features.rows == {
        name: int(((flown["date"] >= first) & (flown["date"] < last)).sum())
        for name, first, last in (
            ("train", np.datetime64("2001-01-01"), np.datetime64("2001-05-16")),
            ("validation", np.datetime64("2001-05-16"), np.datetime64("2001-06-01")),
            ("test", np.datetime64("2001-06-01"), np.datetime64("2001-08-01")),
        )
    }
    late = artifacts.split("test").read()[LABEL].mean()
    assert late == pytest.approx((delay > 15).mean(), abs=0.02)


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("pipeline.ingest, pipeline.preprocess", "pandas pyarrow pandera sqlalchemy tensorflow"),
        ("pipeline.ingest.stage", "pandas pandera sqlalchemy tensorflow mlflow"),
        ("pipeline.preprocess.stage", "pandera sklearn matplotlib tensorflow mlflow"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_needed(module: str, heavy: str) -> None:
    code = f"import sys, {module}; print(*(set({heavy.split()}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=_CONFIGS.parent,
    )
    assert done.stdout.strip() == ""
