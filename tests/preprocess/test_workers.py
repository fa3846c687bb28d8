"""The same table comes out whoever works on its parts: one process, several, or a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.core.artifacts import read_json
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.records import SPLITS
from pipeline.preprocess import workers
from pipeline.preprocess.part_clean import Cleaned, clean_part
from pipeline.preprocess.parts import Job, Part
from tests.preprocess.conftest import RANDOM, RULES, Preprocess, numbers
from tests.preprocess.test_stream import assert_alike, written

PARTS = {"group_rows": 100, "stream": {"part_rows": 100, "batch_rows": 60}}
COLUMNS: dict[str, Any] = {
    "x": {"kind": "numeric", "buckets": 4},
    "z": {"kind": "numeric", "log": True},
    "word": {"kind": "categorical"},
    "key": {"kind": "id", "unique": True},
    "story": {"kind": "text", "max_size": 4, "hash_buckets": 3},
    "tags": {"kind": "list"},
    "who": {"kind": "target"},
    "lat": {"kind": "latitude", "longitude": "lon", "cell_degrees": 5},
    "lon": {"kind": "longitude"},
}


def table(rows: int) -> pd.DataFrame:
    made = numbers(rows).assign(key=[f"k{i}" for i in range(rows)])
    random = np.random.default_rng(8)
    words = random.choice([f"word{i}" for i in range(40)], (rows, 5))
    return made.assign(
        story=[" ".join(one) for one in words],
        tags=[";".join(one[:2]) for one in words],
        who=words[:, 4],
        lat=random.choice([52.5, -18.1, 64.5], rows) + random.random(rows),
        lon=random.choice([13.4, 178.4, -165.4], rows),
    )


def run(root: Path, engine: str, processes: int, rows: int = 950, **options: Any) -> dict[str, Any]:
    preprocess = Preprocess(root)
    split = {**RANDOM, "stratify": True}
    rules = {**PARTS, "split": split, "engine": engine, "processes": processes, **options}
    preprocess.run(table(rows), COLUMNS, **rules)
    return written(preprocess)


def test_the_number_of_processes_changes_no_byte(tmp_path: Path):
    results = [run(tmp_path / str(count), "stream", count) for count in (1, 2)]
    for one, other in zip(*(_bytes(tmp_path / str(count)) for count in (1, 2)), strict=True):
        assert one == other
    assert_alike(results[0], run(tmp_path / "whole", "pandas", 1))


def _bytes(root: Path) -> list[tuple[str, bytes]]:
    return [
        (path.name, path.read_bytes())
        for folder in ("processed", "profile")
        for path in sorted((root / "data" / folder).iterdir())
    ]


def test_what_a_process_refuses_is_told_as_ever(preprocess: Preprocess):
    wide = np.where(np.arange(500) % 150, "1.5", "wide")
    twice = table(500).assign(key=[f"k{min(i, 480)}" for i in range(500)], x=wide)
    said = []
    for engine in ("pandas", "stream"):
        with pytest.raises(DataError) as error:
            preprocess.run(twice, COLUMNS, engine=engine, processes=2, **PARTS)
        said.append(str(error.value).splitlines()[1:])
    assert said[0] == said[1]
    assert "'key' stands in one row only: not so in 20 rows (row 481: 'k480'" in said[0][1]


def test_the_engine_changes_no_byte_of_the_splits(tmp_path: Path):
    splits = []
    for engine in ("pandas", "stream"):
        preprocess = Preprocess(tmp_path / engine)
        preprocess.run(numbers(300), engine=engine, stream={"part_rows": 50, "batch_rows": 20})
        folder = preprocess.artifacts.processed.path
        splits.append([(folder / f"{name}.parquet").read_bytes() for name in SPLITS])
    assert splits[0] == splits[1], "another engine trains no model anew"


def test_dask_writes_the_same(tmp_path: Path):
    pytest.importorskip("distributed")
    dask = run(tmp_path / "dask", "dask", 1)
    assert_alike(run(tmp_path / "stream", "stream", 1), dask)


def test_without_dask_the_extra_is_named(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(PipelineError, match="engine is dask, which is not installed") as error:
        preprocess.run(table(300), COLUMNS, engine="dask")
    assert "'.[dask]'" in str(error.value)


@pytest.mark.slow
def test_a_scheduler_elsewhere_is_asked_and_one_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
    ) as cluster:
        address = {"dask": {**RULES["dask"], "address": cluster.scheduler_address}}
        dask = run(tmp_path / "dask", "dask", 2, **address)
    assert_alike(run(tmp_path / "stream", "stream", 1), dask)
    monkeypatch.setattr("pipeline.preprocess.workers_dask._TIMEOUT_SECONDS", 1)
    with pytest.raises(PipelineError, match="no Dask scheduler answers"):
        run(tmp_path / "gone", "dask", 2, **address)


def test_a_worker_lost_in_mid_pass_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("distributed")
    from pipeline.preprocess import stream

    killed: list[int] = []
    original = stream.first_pass

    def first_pass(job: Any, hired: Any) -> Any:
        victim = next(iter(hired._client.run(os.getpid).values()))
        started = hired.map(stream.partial(stream.clean_part, job), job.parts)
        next(started)
        os.kill(victim, signal.SIGKILL)
        killed.append(victim)
        list(started)
        return original(job, hired)

    expected = run(tmp_path / "stream", "stream", 1, rows=3000)
    monkeypatch.setattr("pipeline.preprocess.stream.first_pass", first_pass)
    assert_alike(expected, run(tmp_path / "dask", "dask", 2, rows=3000))
    assert killed


def test_a_killed_process_is_told_of(preprocess: Preprocess, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.preprocess.stream.clean_part", _killed)
    with pytest.raises(PipelineError, match="was ended from outside before its part was done"):
        preprocess.run(table(500), COLUMNS, engine="stream", processes=2, **PARTS)
    assert not (preprocess.root / "data/processed").exists()
    assert not (preprocess.root / ".pipeline/stream").exists()


def test_arrow_has_its_threads_again(preprocess: Preprocess):
    before = pa.cpu_count()
    preprocess.run(table(500), COLUMNS, engine="stream", processes=2, **PARTS)
    assert pa.cpu_count() == before


def _killed(job: Job, part: Part) -> Cleaned:
    """As `clean_part` in the process of the stage itself, which works too."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return clean_part(job, part)


def test_an_empty_part_is_fine(preprocess: Preprocess):
    frame = table(400)
    frame.loc[100:199, "label"] = None
    rows = preprocess.run(frame, COLUMNS, engine="stream", **PARTS)
    assert sum(map(len, rows.values())) == 300
    assert preprocess.cleaned["missing_label"] == 100


def test_processes_are_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert workers.usable_cores() == 3


def test_without_a_profile_only_the_cleaning_is_told(preprocess: Preprocess):
    preprocess.run(table(300), COLUMNS, profile=False)
    assert [path.name for path in preprocess.artifacts.profile.path.iterdir()] == ["cleaning.json"]


@pytest.mark.parametrize("engine", ["pandas", "stream"])
def test_leaks_are_looked_for_in_a_sample(preprocess: Preprocess, engine: str):
    rows = preprocess.run(table(2500), COLUMNS, engine=engine, sample_rows=1000, **PARTS)
    assert sum(map(len, rows.values())) == 2500
    profile = read_json(preprocess.artifacts.profile.path / "profile.json")
    assert sum(profile["rows"].values()) == 834
    assert profile["table_rows"] == {name: len(frame) for name, frame in rows.items()}


def test_every_split_reads_back_whole(preprocess: Preprocess):
    preprocess.run(table(900), COLUMNS, engine="stream", **PARTS)
    for name in SPLITS:
        path = preprocess.artifacts.split(name).path
        assert len(pd.read_parquet(path)) == parquet.read_metadata(path).num_rows
