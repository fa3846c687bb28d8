"""The engines of stage `preprocess` on one generated table: time and peak memory of each.

    python benchmarks/preprocess_engines.py                     10 million rows by 12 columns
    python benchmarks/preprocess_engines.py --rows 300000 --rounds 1
    python benchmarks/preprocess_engines.py --write             also writes docs/benchmarks.md

Each engine works in a process of its own on the same raw table. Beside them, for scale: pandas
reading the same rows from CSV (1 GB at 10 million) and working out the same columns, with no
check, no split, no profile.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from document import table, write_section
from pyarrow import csv, parquet

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from pipeline.core.artifacts import Artifacts  # noqa: E402
from pipeline.core.stage import Context  # noqa: E402
from pipeline.core.tracking import Journal  # noqa: E402
from pipeline.preprocess import STAGE, stage  # noqa: E402

SIDES = ("pandas engine", "stream engine", "plain pandas from CSV")
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


def run_engine(folder: Path, engine: str) -> None:
    """The stage itself, profile and all."""
    rules = yaml.safe_load((ROOT / "configs/preprocess/default.yaml").read_text(encoding="utf-8"))
    split = {"kind": "random", "validation_fraction": 0.1, "test_fraction": 0.1, "seed": 0}
    params = {
        "data": {
            "columns": COLUMNS,
            "crosses": {},
            "label": {"column": "label", "task": "binary"},
            "split": split,
        },
        "preprocess": {**rules, "engine": engine},
    }
    context = Context(root=folder, journal=Journal(folder / "journal.jsonl"))
    stage.run(STAGE.configure(params), Artifacts(folder), context)


def run_plain(folder: Path) -> None:
    """Reads the CSV and works out the columns a model would take; writes them as Parquet."""
    frame = pd.read_csv(folder / "rows.csv", parse_dates=["at"])
    made = {name: frame[name].fillna(frame[name].median()) for name in ("n0", "n1", "n2", "n3")}
    made = {name: (one - one.mean()) / one.std() for name, one in made.items()}
    logs = np.log1p(frame["long"])
    made["long"] = (logs - logs.mean()) / logs.std()
    made["bucket"] = pd.qcut(frame["long"], 16, labels=False)
    made["count"] = (frame["count"] - frame["count"].mean()) / frame["count"].std()
    for name in ("city", "shop", "code"):
        order = frame[name].value_counts().index
        made[name] = pd.Categorical(frame[name], categories=order).codes
    made["paid"] = frame["paid"]
    made["day_of_week"], made["hour"] = frame["at"].dt.dayofweek, frame["at"].dt.hour
    made["label"] = frame["label"] == "yes"
    pd.DataFrame(made).to_parquet(folder / "plain.parquet", compression="zstd")


def work(side: str, folder: Path) -> None:
    """Does the work of one side and prints seconds and peak memory as JSON."""
    started = time.perf_counter()
    if side == SIDES[2]:
        run_plain(folder)
    else:
        run_engine(folder, side.split(maxsplit=1)[0])
    wall = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"wall": wall, "bytes": peak}))


def measure(side: str, folder: Path) -> dict[str, float]:
    """Runs one side in a process of its own."""
    command = [sys.executable, __file__, "--work", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr or f"{side} ended with {done.returncode}")
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{side:24} {measured['wall']:7.1f} s {measured['bytes'] / 1e6:9,.0f} MB", flush=True)
    return measured


def report(rounds: list[dict[str, dict[str, float]]], count: int) -> list[str]:
    """Medians of each side."""
    lines = []
    for side in SIDES:
        wall = statistics.median(one[side]["wall"] for one in rounds)
        peak = statistics.median(one[side]["bytes"] for one in rounds)
        lines.append([side, f"{wall:.1f}", f"{count / wall / 1e6:.2f}", f"{peak / 1e6:,.0f}"])
    return [
        f"{count:,} generated rows by {len(COLUMNS) + 1} columns.",
        "",
        *table(["side", "wall, seconds", "million rows a second", "peak memory, MB"], lines),
    ]


def main() -> None:
    """Takes turns between the sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    parser.add_argument("--work", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.work:
        work(asked.work, asked.folder)
        return
    with tempfile.TemporaryDirectory(prefix="pipeline-bench-") as name:
        generate(Path(name), asked.rows)
        rounds = [{side: measure(side, Path(name)) for side in SIDES} for _ in range(asked.rounds)]
    lines = report(rounds, asked.rows)
    print("\n".join(lines))
    if asked.write:
        command = f"python benchmarks/preprocess_engines.py --rows {asked.rows}"
        write_section("preprocess_engines", command, lines)


if __name__ == "__main__":
    main()
