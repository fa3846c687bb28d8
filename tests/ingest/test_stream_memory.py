"""Memory does not grow with the rows of a source, whatever is done with them."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

WORK = """
import json, sys
from pathlib import Path
from pipeline.core import parquet
from pipeline.core.artifacts import Artifacts
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.ingest import STAGE, query, read_jsonl, rows, stream_csv

# Portions that few rows fill already.
parquet._GROUP_ROWS = rows._BATCH_ROWS = query._PORTION_ROWS = 20_000
stream_csv.BLOCK_BYTES = read_jsonl.BLOCK_BYTES = 1 << 20
root = Path(sys.argv[1])
config = STAGE.configure(json.loads(sys.argv[2]))
STAGE.load()(config, Artifacts(root), Context(root=root, journal=Journal(root / "journal")))
print(Artifacts(root).source.read().rows)
# Not ru_maxrss, which begins with that of the process that started this one.
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""
PII = {"who": {"how": "hash"}, "age": {"how": "generalise", "step": 10}, "name": {"how": "drop"}}
SHOPS = pd.DataFrame({"shop": [f"s{i}" for i in range(50)], "size": range(50)})
JOINS = {"shops": {"source": {"kind": "file", "path": "shops.csv"}, "key": ["shop"]}}


def table(rows: int, seed: int) -> pd.DataFrame:
    """Rows of some 80 bytes."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "who": random.integers(0, 2**62, rows),
            "age": random.uniform(0, 99, rows),
            "name": random.integers(0, 2**62, rows).astype(str),
            "shop": random.choice(SHOPS["shop"].to_numpy(), rows),
            "at": random.choice(pd.date_range("2024", periods=999).strftime("%F"), rows),
        }
    )


def peak_bytes(root: Path, rows: int, kind: str) -> int:
    """Peak memory of the stage on a generated source with personal data, joined."""
    root.mkdir()
    SHOPS.to_csv(root / "shops.csv", index=False)
    source: dict[str, Any] = {"kind": "file", "path": f"t.{kind}", "pii": PII}
    ingest: dict[str, Any] = {"sample_rows": None, "seed": 0, "stream_above_bytes": 1000}
    if kind == "jsonl":
        table(rows, 0).to_json(root / "t.jsonl", orient="records", lines=True)
    elif kind == "csv":
        table(rows, 0).to_csv(root / "t.csv", index=False)
    elif kind == "sql":
        with sqlite3.connect(root / "t.db") as database:
            table(rows, 0).to_sql("t", database, index=False)
        database.close()
        address = {"url": "sqlite:///t.db", "query": "SELECT * FROM t"}
        source = {"kind": "sql", **address, "pii": PII}
    else:  # a span, sampled
        for day in range(10):
            table(rows // 10, day).to_csv(root / f"t-2024-01-{day + 1:02}.csv", index=False)
        source |= {"path": "t-{date}.csv", "span": {}}
        ingest["sample_rows"] = rows // 2
    params = {"data": {"source": source, "joins": JOINS}, "ingest": ingest}
    command = [sys.executable, "-c", WORK, str(root), json.dumps(params)]
    # Without the reserves of Arrow's own allocator, which come and go by tens of megabytes.
    plain = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **plain, "PIPELINE_PII_KEY": "a secret of many characters"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    count, peak = map(int, done.stdout.splitlines()[-2:])
    assert count == (rows if ingest["sample_rows"] is None else rows // 2)
    return peak * 1024


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not say")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "span", "sql"])
def test_more_rows_take_no_more_memory(tmp_path: Path, kind: str):
    few, many = (peak_bytes(tmp_path / str(rows), rows, kind) for rows in (400_000, 1_600_000))
    # The 1,200,000 rows that are more fill some 100 MB as text, and several times that in pandas.
    assert many - few < 50_000_000
