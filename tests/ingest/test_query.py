"""Answers of a database that are fetched portion by portion say what they say at once."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.ingest import query
from tests.ingest.conftest import Ingest

SOURCE = {"kind": "sql", "url": "sqlite:///shop.db", "query": "SELECT * FROM items"}
NUMBERS = st.integers(-5, 5) | st.floats(-1, 1, width=16)
COLUMN = st.sampled_from([st.integers(-(2**63), 2**63 - 1), st.text("aé ", max_size=3), NUMBERS])


@st.composite
def answers(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """Rows of three columns with gaps; rarely one whose values are of two types."""
    count = draw(st.integers(1, 30))
    columns = []
    for _ in range(3):
        kinds = (
            st.none() | draw(COLUMN) | (draw(COLUMN) if draw(st.integers(0, 9)) == 0 else st.none())
        )
        columns.append(draw(st.lists(kinds, min_size=count, max_size=count)))
    return list(zip(*columns, strict=True))


def brought(root: Path, rows: list[tuple[Any, ...]], **more: Any) -> Any:
    """The bytes of the table and how many rows they are, or what was said."""
    root.mkdir(exist_ok=True)
    with sqlite3.connect(root / "shop.db") as database:
        database.execute("CREATE TABLE items (a, b, c)")
        database.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
    database.close()
    ingest = Ingest(root)
    try:
        ingest.run({**SOURCE, **more})
    except DataError as error:
        assert not ingest.published, "nothing half written"
        return error.came.partition(" mixes")[0]
    return ingest.artifacts.raw_table.path.read_bytes(), ingest.record.source.rows


@settings(max_examples=40)
@given(answers())
def test_portions_give_what_all_rows_at_once_give(rows: list[tuple[Any, ...]]):
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        whole = brought(Path(name) / "whole", rows)
        patch.setattr(query, "_FETCHED_ROWS", 2)
        patch.setattr(query, "_PORTION_ROWS", 5)
        assert brought(Path(name) / "portions", rows) == whole


def test_types_that_change_between_portions_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(query, "_FETCHED_ROWS", 2)
    monkeypatch.setattr(query, "_PORTION_ROWS", 4)
    said = brought(tmp_path / "words", [(1, 1, n if n < 7 else "seven") for n in range(9)])
    assert said == "column 'c' of the query on sqlite:///shop.db"


def test_personal_data_of_two_types_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIPELINE_PII_KEY", "a secret of thirty-two characters")
    rows = [(n if n < 7 else n / 2, 0, 0) for n in range(9)]
    pii = {"a": {"how": "hash"}}
    table, count = brought(tmp_path / "together", rows, pii=pii)
    assert (len(table) > 0, count) == (True, 9), "of all rows Arrow makes one type"
    monkeypatch.setattr(query, "_PORTION_ROWS", 4)
    monkeypatch.setattr(query, "_FETCHED_ROWS", 2)
    assert "column 'a' of the query" in brought(tmp_path / "apart", rows, pii=pii)


def test_an_equal_answer_has_an_equal_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(query, "_PORTION_ROWS", 2)
    monkeypatch.setattr(query, "_FETCHED_ROWS", 2)
    hashes = []
    for place, last in enumerate([5, 5, 6]):
        brought(tmp_path / str(place), [(n, "x", None) for n in (1, 2, 3, 4, last)])
        hashes.append(Ingest(tmp_path / str(place)).record.source.sha256)
    assert hashes[0] == hashes[1] != hashes[2]
