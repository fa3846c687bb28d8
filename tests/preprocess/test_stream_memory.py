"""The stream engine's memory does not grow with the rows."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

WORK = """
import sys
from pathlib import Path
from tests.preprocess.conftest import RANDOM, RULES
from pipeline.core.artifacts import Artifacts
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.preprocess import STAGE, part_split
from pipeline.core import parquet

# Portions that few rows fill already.
parquet._GROUP_ROWS = part_split._SUMMED_ROWS = 20_000

if __name__ == "__main__":
    root = Path(sys.argv[1])
    columns = {f"x{i}": {"kind": "numeric"} for i in range(2)}
    columns |= {"word": {"kind": "categorical"}, "key": {"kind": "id", "unique": True}}
    columns |= {"note": {"kind": "text", "max_size": 3, "hash_buckets": 2}}
    columns |= {"tags": {"kind": "list"}, "who": {"kind": "target"}, "w": {"kind": "weight"}}
    columns |= {"lat": {"kind": "latitude", "longitude": "lon"}, "lon": {"kind": "longitude"}}
    stream = {"above_rows": 0, "part_rows": 50_000, "batch_rows": 20_000}
    rules = {**RULES, "engine": "stream", "stream": stream, "sample_rows": 5_000}
    label = {"column": "label", "task": "binary"}
    data = {"columns": columns, "crosses": {}, "label": label, "split": RANDOM}
    config = STAGE.configure({"data": data, "preprocess": rules})
    STAGE.load()(config, Artifacts(root), Context(root=root, journal=Journal(root / "journal")))
    # Not ru_maxrss, which begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""


def peak_bytes(root: Path, rows: int) -> int:
    """Peak memory of the stage on a generated table."""
    path = root / "data/raw/table.parquet"
    path.parent.mkdir(parents=True)
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.normal(size=rows) for i in range(2)}
    columns |= {"word": random.choice(["red", "green", "blue"], rows), "key": np.arange(rows)}
    notes = np.array([f"note {i} says that {i * 7 % 11} of them came" for i in range(40)])
    columns |= {"note": random.choice(notes, rows), "tags": random.choice(["a;b", "b", ""], rows)}
    columns |= {"who": random.choice(["ann", "bob", "cy"], rows), "w": random.random(rows)}
    columns |= {"lat": random.uniform(-80, 80, rows), "lon": random.uniform(-80, 80, rows)}
    columns |= {"label": np.where(columns["x0"] + random.normal(size=rows) > 0, "yes", "no")}
    parquet.write_table(pa.table(columns), path, row_group_size=50_000)
    command = [sys.executable, "-c", WORK, str(root)]
    # Without the reserves of Arrow's own allocator, which come and go by tens of megabytes.
    plain = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    return int(done.stdout.splitlines()[-1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel does not say")
def test_more_rows_take_no_more_memory_whatever_the_kinds_of_columns(tmp_path: Path):
    few, many = (peak_bytes(tmp_path / str(rows), rows) for rows in (200_000, 500_000))
    # The 300,000 rows that are more fill 32 MB as they stand; an engine that kept
    # 120 bytes of each would need 36 MB more.
    assert many - few < 20_000_000
