"""Personal columns are known by their names in the raw table, and never in a request log."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.artifacts import Artifacts
from pipeline.runner.personal import personal_columns
from pipeline.serve.stage import _request_log
from tests.serve.test_stage import settings

FILE = {"kind": "file", "path": "a.csv"}


def test_columns_of_source_and_joins() -> None:
    pii = {"email": {"how": "hash"}, "name": {"how": "drop"}}
    source = {**FILE, "pii": pii}
    join = {
        "source": {**FILE, "pii": {"zip": {"how": "drop"}}},
        "key": ["email"],
        "prefix": "home_",
    }
    params = {
        "data": {"source": source, "joins": {"home": join}},
        "ingest": {"sample_rows": None, "seed": 0, "stream_above_bytes": 100_000_000},
    }
    assert personal_columns(params) == {"email", "name", "zip", "home_zip"}


def test_they_are_never_written(tmp_path: Path) -> None:
    log = {"file": "log/a.jsonl", "sampling": 0.5, "max_bytes": 9, "files": 2, "omit": ["age"]}
    config = settings(request_log=log).request_log
    options = _request_log(config, Artifacts(tmp_path), frozenset({"email"}))
    assert options is not None
    assert options.omit == {"age", "email"}
    assert options.path == tmp_path / "log/a.jsonl"
    off = settings().request_log
    assert _request_log(off, Artifacts(tmp_path), frozenset()) is None
