"""A large file that is brought in batch by batch gives what reading it whole gives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pipeline.core.errors import PipelineError
from pipeline.ingest import stream
from tests.ingest.conftest import Ingest

VALUES = st.sampled_from(
    [
        *("", "NA", "1", "0", "1.5", "true", "word", "999999999999999999999999"),
        *("2024-02-29", "12:30:00", "2024-02-29 12:30:00", "2024-02-29T12:30:00Z"),
        *("2024-02-29 12:30:00.5", "0001-01-01", "9999999-01-01"),
    ]
)


def both(root: Path, content: str | bytes, name: str = "t.csv", **options: Any) -> list[Any]:
    """What comes of the file read whole, and in batches."""
    found: list[Any] = []
    for above in (100_000_000, 0):
        ingest = Ingest(root / str(above))
        ingest.root.mkdir()
        path = ingest.write(name, content)
        try:
            ingest.run({"kind": "file", "path": path, **options}, stream_above_bytes=above)
        except PipelineError as error:
            found.append(str(error).replace(str(ingest.root), ""))
            data = ingest.root / "data"
            assert not data.exists() or not list(data.iterdir()), "nothing half written"
        else:
            table = parquet.read_table(ingest.artifacts.raw_table.path)
            record = ingest.record
            found.append((table, record.source, record.rows, record.columns))
    return found


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(VALUES, max_size=4))
def test_types_come_from_all_rows(first: list[str], later: list[str]):
    # The later values stand beyond the first block, which types are guessed from.
    lines = [f"{i},{first[i % len(first)]}" for i in range(40)]
    lines += [f"{i},{value}" for i, value in enumerate(later, start=40)]
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stream, "_BLOCK_BYTES", 256)
        whole, batches = both(Path(name), "id,value\n" + "\n".join(lines) + "\n")
    if isinstance(whole, str):
        assert whole == batches
    else:
        assert batches[0].schema == whole[0].schema
        assert batches[0].equals(whole[0])
        assert batches[1:] == whole[1:]


BAD = {
    "too many fields": b"a,b\n1,2\n3,4,5\n6,7\n",
    "another encoding": "a,b\n1,é\n".encode("latin-1"),
    "another encoding far away": b"a,b\n" + b"1,e\n" * 200 + "1,é\n".encode("latin-1"),
    "a NUL byte": b"a,b\n1,x\x00y\n2,z\n",
    "a quoted newline": b'a,b\n1,"x\ny"\n2,z\n',
    "a long field": b"a,b\n1," + b"x" * 5000 + b"\n2,y\n",
    "twice the same name": b"a,a\n1,2\n",
    "no row": b"a,b\n",
    "nothing": b"",
    "beyond 64 bits": b"a\n" + b"1\n" * 200 + b"99999999999999999999\n",
    "mixed types": b"a,b\n" + b"1,x\n" * 200 + b"one,x\n",
    "the year 0": b"a,b\n" + b"2024-01-01,x\n" * 200 + b"0000-01-01,x\n",
    "mixed zones": b"a\n" + b"2024-01-01T00:00:00Z\n" * 50 + b"2024-01-01T00:00:00\n",
    "several zones": b"a\n" + b"2024-01-01T00:00:00Z\n" * 50 + b"2024-01-01T00:00:00+02:00\n",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("bad_rows", ["error", "drop"])
def test_bad_files_are_told_of_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad_rows: str
):
    monkeypatch.setattr(stream, "_BLOCK_BYTES", 256)
    whole, batches = both(tmp_path, BAD[name], bad_rows=bad_rows)
    if isinstance(whole, str):
        assert batches == whole
    else:
        assert batches[0].equals(whole[0])
        assert batches[1:] == whole[1:]


def test_parquet_with_an_empty_row_group_and_with_a_name_twice(tmp_path: Path):
    table = pa.table({"x": [1, 2, 3], "w": ["a", "b", "c"]})
    with parquet.ParquetWriter(tmp_path / "t.parquet", table.schema) as writer:
        for rows in (table[:2], table[:0], table[2:]):
            writer.write_table(rows)
    content = (tmp_path / "t.parquet").read_bytes()
    whole, batches = both(tmp_path, content, "t.parquet")
    assert batches[0].equals(whole[0])
    assert batches[0]["x"].to_pylist() == [1, 2, 3]
    parquet.write_table(table.rename_columns(["x", "x"]), tmp_path / "t.parquet")
    (tmp_path / "twice").mkdir()
    told = both(tmp_path / "twice", (tmp_path / "t.parquet").read_bytes(), "t.parquet")
    assert told[0] == told[1]
    assert "names 1 columns more than once: x" in told[0]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.csv.gz", "t.parquet"])
def test_every_format_and_its_options(tmp_path: Path, name: str):
    frame = pd.DataFrame({"id": range(1000), "word": [f"w{i}" for i in range(1000)], "x": 0.5})
    path = tmp_path / name
    if name == "t.parquet":
        frame.to_parquet(path, row_group_size=100)
    else:
        frame.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    options = {"columns": ["word", "id"], "dtypes": {"id": "string"}}
    whole, batches = both(tmp_path, path.read_bytes(), name, **options)
    assert batches[0].equals(whole[0])
    assert batches[1:] == whole[1:]
    assert set(batches[0].column_names) == {"word", "id"}
    (tmp_path / "missing").mkdir()
    told = both(tmp_path / "missing", path.read_bytes(), name, columns=["wrd"])
    assert told[0] == told[1]
