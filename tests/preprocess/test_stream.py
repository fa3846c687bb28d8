"""The stream engine writes what the pandas engine writes, whatever the table and the batches."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipeline.core.artifacts import read_json
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.records import SPLITS
from tests.preprocess.conftest import RANDOM, Preprocess

COLUMNS: dict[str, Any] = {
    "x": {"kind": "numeric", "range": [-50, 50], "buckets": 4},
    "count": {"kind": "numeric", "clip_quantiles": [0.1, 0.9], "scaling": "min_max"},
    "word": {"kind": "categorical", "min_count": 2},
    "code": {"kind": "categorical", "min_count": 1, "hash_buckets": 3},
    "paid": {"kind": "boolean"},
    "day": {"kind": "datetime", "format": "%d.%m.%Y", "parts": ["month"]},
    "note": {"kind": "text", "min_count": 1},
    "story": {"kind": "text", "min_count": 2, "max_size": 2, "hash_buckets": 3},
    "tags": {"kind": "list", "min_count": 2, "weighting": "count"},
    "who": {"kind": "target", "smoothing": 1.0, "folds": 2},
    "lat": {"kind": "latitude", "longitude": "lon", "cell_degrees": 5, "min_count": 2},
    "lon": {"kind": "longitude"},
    "key": {"kind": "id"},
}
SPLITTING = (
    RANDOM,
    {**RANDOM, "stratify": True},
    {"kind": "hash", "columns": ["key"], "validation_fraction": 0.3, "test_fraction": 0.3},
    {"kind": "time", "column": "day", "validation_from": "2024-05-01", "test_from": "2024-08-01"},
)


STORY = ["Wolf", "wolf,", "sheep", "hill", "Straße", "moon!", "7", "東", "never-ever"]
TAGS = ["news", "sport", " art ", "", "東"]


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Random rows with gaps, copies, impossible numbers, and whole numbers of any size."""
    rows = draw(st.integers(40, 120))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    gaps = draw(st.floats(0, 0.3))

    def holed(values: Any, nothing: Any = None) -> pd.Series[Any]:
        return pd.Series(values).mask(random.random(rows) < gaps, nothing)

    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 366, rows), "D")
    frame = pd.DataFrame(
        {
            "x": holed(random.choice([-0.0, 0.0, 1.5, 60.0, -7.25, np.inf], rows), np.nan),
            "count": holed(random.integers(0, 9, rows)).astype("Int64"),
            "word": holed(random.choice(["red", "grün", "", "rot "], rows)),
            "code": holed(random.integers(2**53, 2**53 + 4, rows)).astype("Int64"),
            "paid": holed(random.choice([True, False], rows), None),
            "day": holed(pd.Series(day).dt.strftime("%d.%m.%Y")),
            "note": holed(random.choice(["good, very good", "bad", "good 東"], rows)),
            "story": holed([" ".join(random.choice(STORY, 4)) for _ in range(rows)]),
            "tags": holed([";".join(random.choice(TAGS, 3)) for _ in range(rows)]),
            "who": holed(random.integers(0, 12, rows).astype(str)),
            "lat": holed(random.choice([52.5, 52.7, -18.1, 91.0], rows) + random.random(rows)),
            "lon": holed(random.choice([13.4, 13.9, 178.4], rows)),
            "key": random.integers(0, 30, rows),
            "label": holed(random.choice(["yes", "no"], rows)),
        }
    )
    copies = frame.sample(draw(st.integers(0, 20)), random_state=0)
    return pd.concat([frame, copies], ignore_index=True)


def written(preprocess: Preprocess) -> dict[str, Any]:
    """All that the stage wrote, tables as frames, features as numbers and the rest as bytes."""
    folders = (preprocess.artifacts.processed.path, preprocess.artifacts.profile.path)
    read = {".parquet": pd.read_parquet, ".json": read_json}
    return {
        path.name: read.get(path.suffix, Path.read_bytes)(path)
        for folder in folders
        for path in sorted(folder.iterdir())
    }


def outcome(root: Path, table: pd.DataFrame, **options: Any) -> dict[str, Any] | str:
    preprocess = Preprocess(root)
    try:
        preprocess.run(table, COLUMNS, **options)
    except PipelineError as error:
        return str(error)
    return written(preprocess)


def assert_alike(one: dict[str, Any] | str, other: dict[str, Any] | str) -> None:
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert list(one) == list(other)
    for name, content in one.items():
        if isinstance(content, pd.DataFrame):
            pd.testing.assert_frame_equal(content, other[name], check_exact=True)
        else:
            assert_near(content, other[name], name)


def assert_near(one: Any, other: Any, where: str) -> None:
    """Equal, but for the last digits of means and spreads of features, which are put together."""
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key, value in one.items():
            assert_near(value, other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for value, its in zip(one, other, strict=True):
            assert_near(value, its, where)
    elif where.startswith("features.json") and where.rpartition(".")[2] in MEANS:
        assert one == pytest.approx(other, rel=1e-12, abs=1e-12), where
    else:
        assert one == other, where


MEANS = {"center", "scale", "mean", "impute"}


CHOICES = st.fixed_dictionaries(
    {
        "split": st.sampled_from(SPLITTING),
        "group_rows": st.sampled_from([7, 25, 1000]),
        "part_rows": st.sampled_from([1, 30, 1000]),
        "batch_rows": st.sampled_from([1, 7, 50, 1000]),
        "block_rows": st.sampled_from([5, 1 << 16]),
        "duplicates": st.sampled_from(["drop", "keep"]),
        "out_of_range": st.sampled_from(["missing", "drop"]),
    }
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables(), choice=CHOICES)
def test_both_engines_write_the_same(table: pd.DataFrame, choice: dict[str, Any]):
    assume(choice["batch_rows"] > 1 or len(table) < 60)
    stream = {name: choice.pop(name) for name in ("part_rows", "batch_rows")}
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.preprocess.training_rows.BLOCK_ROWS", choice.pop("block_rows"))
        results = [
            outcome(
                Path(name) / engine,
                table,
                engine=engine,
                stream=stream,
                leakage="warn",
                **choice,
            )
            for engine in ("pandas", "stream")
        ]
        assert not (Path(name) / "stream/.pipeline/stream").exists(), "working copies are gone"
    assert_alike(*results)


def broken(rows: int = 60) -> pd.DataFrame:
    """A table that breaks rules of rows, of columns and between rows."""
    number = np.arange(rows)
    return pd.DataFrame(
        {
            "key": [f"k{i % 55}" for i in number],
            "size": np.where(number % 25 == 0, "wide", number.astype(str)),
            "start": np.where(number == 31, "2024-02-02", "2024-01-01"),
            "end": "2024-02-01",
            "gap": np.where(number % 2, np.nan, 1.0),
            "void": np.nan,
            "label": np.where(number % 2, "yes", "no"),
        }
    )


BROKEN_COLUMNS = {
    "key": {"kind": "id", "unique": True},
    "size": {"kind": "numeric"},
    "start": {"kind": "datetime", "at_most": "end"},
    "end": {"kind": "datetime"},
    "gap": {"kind": "numeric", "max_missing_fraction": 0.2},
    "void": {"kind": "numeric"},
}


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_both_engines_refuse_with_the_same_words(preprocess: Preprocess, batch: int):
    said = []
    for engine in ("pandas", "stream"):
        with pytest.raises(DataError) as error:
            preprocess.run(
                broken(),
                BROKEN_COLUMNS,
                engine=engine,
                stream={"batch_rows": batch},
            )
        said.append(str(error.value).splitlines())
    assert "'key' stands in one row only: not so in 10 rows (row 1: 'k0'" in said[0][1]
    # Rows that break several rules count once in one table, and once in each batch.
    assert said[1][1:] == said[0][1:]
    assert not (preprocess.root / "data/processed").exists()


def test_the_engine_follows_the_size(preprocess: Preprocess, capsys: pytest.CaptureFixture[str]):
    table = broken(300).drop(columns=["void", "gap"]).assign(size=np.arange(300.0) % 7)
    columns = {"size": {"kind": "numeric"}, "key": {"kind": "id"}}
    for above, says in ((300, False), (299, True)):
        preprocess.run(table, columns, engine="auto", stream={"above_rows": above})
        assert (
            "300 rows are prepared in parts, by engine stream: more than" in capsys.readouterr().out
        ) is says
    assert read_json(preprocess.artifacts.features.path)["rows"]["train"] > 0
    assert not (preprocess.root / ".pipeline/stream").exists()


def test_what_a_killed_run_left_is_removed(preprocess: Preprocess):
    leftover = preprocess.root / ".pipeline/stream/old.parquet"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a file")
    table = broken(300).assign(size=np.arange(300.0) % 7)
    preprocess.run(table, {"size": {"kind": "numeric"}}, engine="stream")
    assert not leftover.exists()
    assert all((preprocess.artifacts.processed.path / f"{n}.parquet").exists() for n in SPLITS)
