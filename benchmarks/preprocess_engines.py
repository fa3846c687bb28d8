"""The engines of stage `preprocess` on one generated table: time and peak memory of each.

    python benchmarks/preprocess_engines.py                     10 million rows by 12 columns
    python benchmarks/preprocess_engines.py --rows 300000 --rounds 3
    python benchmarks/preprocess_engines.py --side "stream, 2 processes"    only this side; repeat
    python benchmarks/preprocess_engines.py --write             also writes docs/benchmarks.md

Every side works in a process of its own on the same rows, 1 GB of CSV at 10 million:

- pandas and Polars, the columns: `preprocess_peers.py`, from the CSV to the columns of a model.
- pandas and Polars, the same job: from the CSV to three splits and what is fitted on one of them.
- ingest: our stage `ingest`, from the same CSV to the raw Parquet table.
- all others: our stage `preprocess` from that Parquet table: schema check, cleaning, copies,
  split, leaks, features fitted on the training split, three tables and the profile written; with
  "no profile" all of that but the profile.

One Dask worker is measured with all cores, of which the client that writes the splits takes its
part, and with one core for both: what two machines have over one.

A user who begins with a CSV pays for ingest once and for preprocess; the table gives both alone,
and their sum. Peak memory is that of all processes of a side together (proportional set size,
sampled ten times a second).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import preprocess_peers
import psutil
import pyarrow as pa
from document import table, write_section
from pyarrow import csv, parquet

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from pipeline.core.artifacts import Artifacts  # noqa: E402
from pipeline.core.processor import sort_fast  # noqa: E402
from pipeline.core.stage import Context  # noqa: E402
from pipeline.core.tracking import Journal  # noqa: E402
from pipeline.ingest import STAGE as INGEST  # noqa: E402
from pipeline.preprocess import STAGE, stage  # noqa: E402

STREAM = "stream, 2 processes"
PLAIN = f"{STREAM}, no profile"
ONE_CORE = "dask, 1 worker and 1 core"
PEERS: dict[str, Callable[[Path], None]] = {
    "pandas, the columns": preprocess_peers.pandas_columns,
    "Polars, the columns": preprocess_peers.polars_columns,
    "pandas, the same job": preprocess_peers.pandas_job,
    "Polars, the same job": preprocess_peers.polars_job,
}
SIDES: dict[str, dict[str, Any]] = {
    **{peer: {} for peer in PEERS},
    "ingest": {},
    "pandas": {"engine": "pandas"},
    "stream, 1 process": {"engine": "stream", "processes": 1},
    STREAM: {"engine": "stream", "processes": 2},
    PLAIN: {"engine": "stream", "processes": 2, "profile": False},
    "dask, 1 worker": {"engine": "dask", "processes": 1},
    ONE_CORE: {"engine": "dask", "processes": 1},
    "dask, 2 workers": {"engine": "dask", "processes": 2},
}
"""What is measured, and the options of our stage."""
BATCH = 250_000
COLUMNS: dict[str, Any] = {
    **{f"n{i}": {"kind": "numeric"} for i in range(4)},
    "long": {"kind": "numeric", "log": True, "buckets": 16},
    "count": {"kind": "numeric"},
    "city": {"kind": "categorical"},
    "shop": {"kind": "categorical", "min_count": 50},
    "code": {"kind": "categorical"},
    "paid": {"kind": "boolean"},
    "at": {"kind": "datetime", "parts": ["day_of_week", "hour"]},
}


def rows(count: int, seed: int) -> pa.Table:
    """Mixed rows: numbers with gaps, words of few and of many values, codes, truths, moments."""
    random = np.random.default_rng(seed)
    numbers = {f"n{i}": random.normal(size=count).round(4) for i in range(4)}
    numbers["n0"][random.random(count) < 0.05] = np.nan
    moment = np.datetime64("2024-01-01T00:00:00") + random.integers(0, 366 * 86400, count)
    return pa.table(
        {
            **numbers,
            "long": random.lognormal(2, 1.5, count).round(3),
            "count": random.poisson(3, count),
            "city": random.choice(["Rome", "Oslo", "Lima", "Cairo", "Quito"], count),
            "shop": np.char.add("shop-", random.integers(0, 2000, count).astype("str")),
            "code": random.integers(100, 400, count),
            "paid": random.random(count) < 0.4,
            "at": moment.astype("datetime64[s]"),
            "label": np.where(numbers["n1"] + random.normal(size=count) > 0, "yes", "no"),
        }
    )


def generate(folder: Path, count: int) -> None:
    """The raw table as Parquet and as CSV, written in batches."""
    raw = Artifacts(folder).raw_table.path
    raw.parent.mkdir(parents=True)
    schema = rows(1, 0).schema
    with (
        parquet.ParquetWriter(raw, schema) as table_file,
        csv.CSVWriter(folder / "rows.csv", schema) as text_file,
    ):
        for seed, start in enumerate(range(0, count, BATCH)):
            batch = rows(min(BATCH, count - start), seed)
            table_file.write_table(batch)
            text_file.write_table(batch)


def run_engine(folder: Path, **options: Any) -> None:
    """The stage itself."""
    rules = yaml.safe_load((ROOT / "configs/preprocess/default.yaml").read_text(encoding="utf-8"))
    split = {"kind": "random", "validation_fraction": 0.1, "test_fraction": 0.1, "seed": 0}
    params = {
        "data": {
            "columns": COLUMNS,
            "crosses": {},
            "label": {"column": "label", "task": "binary"},
            "split": split,
        },
        "preprocess": {**rules, **options},
    }
    context = Context(root=folder, journal=Journal(folder / "journal.jsonl"))
    stage.run(STAGE.configure(params), Artifacts(folder), context)


def run_ingest(folder: Path) -> None:
    """Our stage `ingest` on the CSV."""
    rules = yaml.safe_load((ROOT / "configs/ingest/default.yaml").read_text(encoding="utf-8"))
    source = {"kind": "file", "path": "../rows.csv"}
    config = INGEST.configure({"data": {"source": source, "joins": {}}, "ingest": rules})
    context = Context(root=folder, journal=Journal(folder / "journal.jsonl"))
    INGEST.load()(config, Artifacts(folder), context)


def work(side: str, folder: Path) -> None:
    """Does the work of one side; prints its seconds, and those of all its cores, as JSON."""
    started = time.perf_counter()
    if side == ONE_CORE:
        os.sched_setaffinity(0, {0})
    if side in PEERS:
        PEERS[side](folder)
    elif side == "ingest":
        run_ingest(folder / "ingested")
    else:
        run_engine(folder, **SIDES[side])
    wall = time.perf_counter() - started
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    print(json.dumps({"wall": wall, "cpu": cpu}))


def measure(side: str, folder: Path) -> dict[str, float]:
    """Runs one side in a process of its own."""
    command = [sys.executable, __file__, "--work", side, "--folder", str(folder)]
    with (folder / "told").open("w+") as told, (folder / "errors").open("w+") as errors:
        started = psutil.Popen(command, stdout=told, stderr=errors, text=True)
        peak = 0.0
        while started.poll() is None:
            peak = max(peak, together(started))
            time.sleep(0.1)
        if started.returncode:
            errors.seek(0)
            raise SystemExit(errors.read() or f"{side} ended with {started.returncode}")
        told.seek(0)
        spent: dict[str, float] = json.loads(told.readlines()[-1])
    seconds = f"{spent['wall']:7.1f} s, CPU {spent['cpu']:7.1f} s"
    print(f"{side:32} {seconds} {peak / 1e6:9,.0f} MB", flush=True)
    return {**spent, "bytes": peak}


def together(process: psutil.Process) -> float:
    """Memory of a process and its children, shared pages counted once."""
    total = 0.0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_full_info().pss
    return total


def report(rounds: list[dict[str, dict[str, float]]], count: int) -> list[str]:
    """Medians of each side, and how they compare."""
    sides = [side for side in SIDES if side in rounds[0]]
    wall = {side: statistics.median(one[side]["wall"] for one in rounds) for side in sides}
    cpu = {side: statistics.median(one[side]["cpu"] for one in rounds) for side in sides}
    peak = {side: statistics.median(one[side]["bytes"] for one in rounds) for side in sides}
    lines = [
        [
            side,
            f"{wall[side]:.1f}",
            f"{cpu[side]:.1f}",
            f"{count / wall[side] / 1e6:.2f}",
            f"{peak[side] / 1e6:,.0f}",
        ]
        for side in sides
    ]
    head = ["side", "wall, seconds", "CPU, seconds", "million rows a second", "peak memory, MB"]
    size = f"{count:,} generated rows by {len(COLUMNS) + 1} columns"
    found = [
        f"{size}, {len(rounds)} round{'s' * (len(rounds) > 1)}, {os.cpu_count()} cores.",
        "",
        *table(head, lines),
        "",
        *against_peers(wall),
    ]
    for one in ("dask, 1 worker", ONE_CORE):
        if {one, "dask, 2 workers"} <= set(sides):
            gain = wall[one] / wall["dask, 2 workers"]
            found += ["", f"Two Dask workers are {gain:.2f} times as fast as {one}."]
    if {"stream, 1 process", STREAM} <= set(sides):
        gain = wall["stream, 1 process"] / wall[STREAM]
        found += ["", f"Two processes of the stream engine are {gain:.2f} times as fast as one."]
    return found


def against_peers(wall: dict[str, float]) -> list[str]:
    """How many times as fast as each peer the stage is, alone and with the reading of the CSV."""
    if not {"ingest", STREAM} <= set(wall):
        return []
    ours = {STREAM: wall[STREAM], f"ingest, then {STREAM}": wall["ingest"] + wall[STREAM]}
    if PLAIN in wall:
        ours[f"ingest, then {PLAIN}"] = wall["ingest"] + wall[PLAIN]
    lines = [
        [peer, *(f"{wall[peer] / seconds:.2f}" for seconds in ours.values())]
        for peer in PEERS
        if peer in wall
    ]
    return table(["times as fast as", *ours], lines)


def main() -> None:
    """Takes turns between the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--side", action="append", choices=SIDES, help="only this one; repeat")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--work", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    sort_fast()  # for the processes of all sides, as `pipeline` does for its stages
    if asked.work:
        work(asked.work, asked.folder)
        return
    sides = asked.side or list(SIDES)
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as name:
        folder = Path(name)
        generate(folder, asked.rows)
        (folder / "ingested").mkdir()
        rounds = [{side: measure(side, folder) for side in sides} for _ in range(asked.rounds)]
    lines = report(rounds, asked.rows)
    print("\n".join(lines))
    if asked.write:
        command = f"python benchmarks/preprocess_engines.py --rows {asked.rows}"
        write_section("preprocess_engines", command, lines)


if __name__ == "__main__":
    main()
