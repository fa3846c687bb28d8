"""Dates and moments are the same whichever format they come in."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.core.features import Column
from pipeline.core.table import as_served
from tests.ingest.conftest import Ingest

UTC = pa.timestamp("ms", "UTC")
"""Parquet knows no seconds."""
CASES: dict[str, tuple[list[str | None], pa.DataType, list[str]]] = {
    "one zone": (
        ["2024-01-01T10:00:00+02:00", None, "2024-01-02 10:00:00+0200"],
        UTC,
        ["2024-01-01T08:00:00Z", "", "2024-01-02T08:00:00Z"],
    ),
    "several zones": (
        ["2024-01-01T00:00:00+02:00", "2024-01-01T00:00:00-05:00", "2024-01-01T00:00:00Z"],
        UTC,
        ["2023-12-31T22:00:00Z", "2024-01-01T05:00:00Z", "2024-01-01T00:00:00Z"],
    ),
    "fractions": (
        ["2024-01-01T10:00:00.125+02:00", "2024-01-01T10:00:00Z"],
        pa.timestamp("ns", "UTC"),
        ["2024-01-01T08:00:00Z", "2024-01-01T10:00:00Z"],
    ),
    "no zone": (
        ["2024-01-01T10:00:00", "2024-01-02"],
        pa.timestamp("ms"),
        ["2024-01-01T10:00:00", "2024-01-02T00:00:00"],
    ),
    "days": (["2024-01-01", "2024-01-02"], pa.date32(), ["2024-01-01", "2024-01-02"]),
    "some without a zone": (
        ["2024-01-01T00:00:00", "2024-01-01T00:00:00+02:00"],
        pa.string(),
        ["2024-01-01T00:00:00", "2024-01-01T00:00:00+02:00"],
    ),
    "no moment": (
        ["2024-01-01T00:00:00+02:00", "soon"],
        pa.string(),
        ["2024-01-01T00:00:00+02:00", "soon"],
    ),
    "year 0": (
        ["0000-01-01T00:00:00+02:00", "2024-01-01T00:00:00Z"],
        pa.string(),
        ["0000-01-01T00:00:00+02:00", "2024-01-01T00:00:00Z"],
    ),
    "too far for nanoseconds": (
        ["3000-01-01T00:00:00.5Z", "2024-01-01T00:00:00Z"],
        pa.string(),
        ["3000-01-01T00:00:00.5Z", "2024-01-01T00:00:00Z"],
    ),
}


def arrived(ingest: Ingest, source: Any, **options: Any) -> tuple[pa.DataType, list[str]]:
    """The type of column `d` in `data/raw`, and its values as they are served."""
    ingest.run(source, **options)
    column = parquet.read_table(ingest.artifacts.raw_table.path)["d"]
    served = as_served(pd.DataFrame({"d": column.to_pandas()}), [Column(name="d", dtype="string")])
    return column.type, served["d"].tolist()


def as_csv(values: list[str | None]) -> bytes:
    return "\n".join(["d,x", *(f"{value or ''},1" for value in values), ""]).encode()


def as_jsonl(values: list[str | None]) -> bytes:
    return "".join(json.dumps({"d": value, "x": 1}) + "\n" for value in values).encode()


@pytest.mark.parametrize(("values", "kind", "served"), CASES.values(), ids=CASES)
def test_csv_and_jsonl_agree_on_dates(
    ingest: Ingest, values: list[str | None], kind: pa.DataType, served: list[str]
):
    for path in (
        ingest.write("a.csv", as_csv(values)),
        ingest.write("a.jsonl", as_jsonl(values)),
    ):
        assert arrived(ingest, path) == (kind, served)
    # Batch by batch as well.
    assert arrived(ingest, "a.csv", stream_above_bytes=0) == (kind, served)


def test_parquet_agrees_on_the_moment(ingest: Ingest):
    moments = [
        datetime.datetime(2024, 1, 1, 8, tzinfo=datetime.UTC),
        datetime.datetime(2024, 7, 1, 7, tzinfo=datetime.UTC),
    ]
    zoned = pa.array(moments, pa.timestamp("us", "Europe/Helsinki"))
    parquet.write_table(pa.table({"d": zoned}), ingest.root / "a.parquet")
    served = ["2024-01-01T08:00:00Z", "2024-07-01T07:00:00Z"]
    assert arrived(ingest, "a.parquet") == (zoned.type, served)
    texts = ["2024-01-01T10:00:00+02:00", "2024-07-01T10:00:00+03:00"]
    assert arrived(ingest, ingest.write("a.jsonl", as_jsonl(texts))) == (UTC, served)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
@pytest.mark.parametrize(("policy", "gap"), [("drop", []), ("null", [""])])
def test_moments_beside_broken_text_keep_their_zone(
    ingest: Ingest, name: str, policy: str, gap: list[str]
):
    values = ["2024-01-01T10:00:00+02:00", "?", "2024-01-01T10:00:00Z"]
    content = as_csv(values) if name == "a.csv" else as_jsonl(values)
    source = {"kind": "file", "path": ingest.write(name, content.replace(b"?", b"\xff\xfe"))}
    served = ["2024-01-01T08:00:00Z", *gap, "2024-01-01T10:00:00Z"]
    assert arrived(ingest, {**source, "bad_text": policy}) == (UTC, served)


def test_dates_that_are_asked_for_as_text_stay_text(ingest: Ingest):
    values = ["2024-01-01T10:00:00+02:00"]
    for path in (ingest.write("a.csv", as_csv(values)), ingest.write("a.jsonl", as_jsonl(values))):
        source = {"kind": "file", "path": path, "dtypes": {"d": "string"}}
        assert arrived(ingest, source) == (pa.string(), values)


def test_dates_in_lists_of_jsonl_stay_text(ingest: Ingest):
    path = ingest.write("a.jsonl", b'{"b": 1, "d": ["2024-01-01", "2024-01-02T10:00:00+02:00"]}\n')
    ingest.run(path)
    table = parquet.read_table(ingest.artifacts.raw_table.path)
    assert table.column_names == ["b", "d"]
    assert table["d"].to_pylist() == [["2024-01-01", "2024-01-02T10:00:00+02:00"]]


def test_a_type_for_a_column_that_jsonl_lacks_is_refused(ingest: Ingest, failing: Any):
    path = ingest.write("a.jsonl", b'{"colour": "red"}\n')
    message = failing({"kind": "file", "path": path, "dtypes": {"color": "string"}})
    assert "a.jsonl has no column 'color'" in message
