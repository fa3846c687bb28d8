"""Every kind of source, format and compression brings the same table."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.ingest.config import PackageSource
from pipeline.ingest.locate import packaged_path
from tests.ingest.conftest import CSV, Ingest


def _expected() -> pd.DataFrame:
    return pd.read_csv(io.StringIO(CSV))


def _zip(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("inside.csv", data)
        archive.writestr("__MACOSX/._inside.csv", b"shadow")
    return buffer.getvalue()


def _zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zip": _zip,
    ".zst": _zstd,
}


def _parquet() -> bytes:
    return _expected().to_parquet(index=False)


def _jsonl() -> str:
    return (
        '{"id": 1, "word": "a", "number": 1.5}\n'
        '{"id": 2, "word": "é", "number": null}\n'
        '{"id": 3, "number": -2}\n'
    )


@pytest.mark.parametrize("ending", _PACKERS)
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_formats_and_compressions(ingest: Ingest, kind: str, ending: str) -> None:
    contents = {"csv": CSV, "tsv": CSV.replace(",", "\t"), "parquet": _parquet(), "jsonl": _jsonl()}
    content = contents[kind]
    data = content.encode() if isinstance(content, str) else content
    name = ingest.write(f"table.{kind}{ending}", _PACKERS[ending](data))
    pd.testing.assert_frame_equal(ingest.run(name), _expected(), check_dtype=False)
    assert (
        ingest.record.source.sha256 == hashlib.sha256((ingest.root / name).read_bytes()).hexdigest()
    )
    assert ingest.record.rows == ingest.record.source.rows == 3


def test_options_win_over_the_name(ingest: Ingest) -> None:
    name = ingest.write("table.dat", gzip.compress(CSV.replace(",", ";").encode("cp1252")))
    source = {
        "kind": "file",
        "path": name,
        "format": "csv",
        "compression": "gzip",
        "encoding": "cp1252",
        "delimiter": ";",
    }
    pd.testing.assert_frame_equal(ingest.run(source), _expected(), check_dtype=False)


def test_types_missing_words_and_columns_by_option(ingest: Ingest) -> None:
    name = ingest.write("codes.csv", "zip,size,more,word\n01234,?,1,NA\n99999,5,2,none\n")
    source = {
        "kind": "file",
        "path": name,
        "dtypes": {"zip": "string"},
        "missing": ["?"],
        "default_missing": False,
        "columns": ["word", "zip", "size"],
    }
    table = ingest.run(source)
    assert list(table.columns) == ["word", "zip", "size"]
    assert table["zip"].tolist() == ["01234", "99999"]
    assert table["word"].tolist() == ["NA", "none"]
    assert table["size"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("csv", '\ufefftext,n\n"one\ntwo, three",1\n'),
        ("jsonl", '\ufeff{"text": "one\\ntwo, three", "n": 1}\n'),
    ],
)
def test_byte_order_mark_and_line_breaks_in_text(ingest: Ingest, kind: str, content: str) -> None:
    table = ingest.run(ingest.write(f"table.{kind}", content))
    assert list(table.columns) == ["text", "n"]
    assert table["text"].tolist() == ["one\ntwo, three"]


def test_a_type_is_inferred_from_all_rows(ingest: Ingest) -> None:
    rows = "\n".join(["1"] * 400_000 + ["1.5", "x"])
    table = ingest.run(ingest.write("late.csv", f"n\n{rows}\n"))
    assert table["n"].iloc[-2:].tolist() == ["1.5", "x"]


def test_a_packaged_file_is_found_without_importing_the_package(
    ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "broken_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "table.csv").write_text(CSV)
    monkeypatch.syspath_prepend(tmp_path)
    source = {"kind": "package", "package": "broken_package", "path": "table.csv"}
    pd.testing.assert_frame_equal(ingest.run(source), _expected(), check_dtype=False)
    assert ingest.record.source.uri == "package:broken_package/table.csv"
    assert packaged_path(PackageSource(**source)) == package / "table.csv"


def test_remote_files_come_through_fsspec(ingest: Ingest) -> None:
    with fsspec.open("memory://bucket/table.csv.gz", "wb") as file:
        file.write(gzip.compress(CSV.encode()))
    table = ingest.run("memory://bucket/table.csv.gz")
    pd.testing.assert_frame_equal(table, _expected(), check_dtype=False)
    assert ingest.record.source.uri.startswith("memory://")


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_query(ingest: Ingest, monkeypatch: pytest.MonkeyPatch, *, by_variable: bool) -> None:
    with sqlite3.connect(ingest.root / "shop.db") as database:
        _expected().to_sql("items", database, index=False)
    database.close()
    monkeypatch.setenv("SHOP", f"sqlite:///{ingest.root}/shop.db")
    address = {"url_env": "SHOP"} if by_variable else {"url": "sqlite:///shop.db"}
    query = "SELECT * FROM items ORDER BY id"
    table = ingest.run({"kind": "sql", **address, "query": query})
    pd.testing.assert_frame_equal(table, _expected(), check_dtype=False)
    assert ingest.record.source.uri == "sqlite:///shop.db"
    first = ingest.record
    ingest.run({"kind": "sql", **address, "query": query})
    assert ingest.record == first


def test_the_sample_is_seeded_and_keeps_the_order(ingest: Ingest) -> None:
    name = ingest.write("long.csv", "n\n" + "\n".join(map(str, range(1000))) + "\n")
    drawn = ingest.run(name, sample_rows=50)["n"]
    assert drawn.is_monotonic_increasing
    assert drawn.nunique() == 50
    assert drawn.max() > 500
    assert ingest.run(name, sample_rows=50)["n"].tolist() == drawn.tolist()
    assert ingest.run(name, sample_rows=50, seed=1)["n"].tolist() != drawn.tolist()
    assert len(ingest.run(name, sample_rows=5000)) == 1000


def test_equal_sources_give_equal_bytes(ingest: Ingest) -> None:
    name = ingest.write("table.csv", CSV)
    ingest.run(name)
    first = ingest.artifacts.raw_table.path.read_bytes()
    ingest.run(name)
    assert ingest.artifacts.raw_table.path.read_bytes() == first
    assert ingest.record.sha256 == hashlib.sha256(first).hexdigest()
    assert ingest.record.columns == ("id", "word", "number")
