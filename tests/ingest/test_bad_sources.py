"""Bad input: every message says what came, what was expected and what to do."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import sqlite3
import zipfile
from collections.abc import Callable

import fsspec
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from pipeline.core.errors import ConfigError, DataError
from tests.ingest.conftest import CSV, Ingest

Failing = Callable[..., str]


def test_a_missing_file_names_its_neighbours(ingest: Ingest, failing: Failing) -> None:
    ingest.write("flights.csv", CSV)
    message = failing("flihgts.csv")
    assert "there is no file flihgts.csv" in message
    assert "did you mean flights.csv?" in message


def test_a_missing_folder_and_a_folder_as_a_file(ingest: Ingest, failing: Failing) -> None:
    assert "nor its folder" in failing("nowhere/flights.csv")
    (ingest.root / "folder.csv").mkdir()
    assert "folder.csv is a folder" in failing("folder.csv")


def test_a_package_that_is_not_installed(failing: Failing) -> None:
    message = failing({"kind": "package", "package": "no_such_package_1", "path": "x.csv"})
    assert "'no_such_package_1' is not installed" in message
    assert "pip install no_such_package_1" in message


def test_a_path_out_of_the_package(failing: Failing) -> None:
    source = {"kind": "package", "package": "palmerpenguins", "path": "../pandas/__init__.py"}
    assert "leads out of the package" in failing(source)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.csv.gz"])
def test_an_empty_file(ingest: Ingest, failing: Failing, name: str) -> None:
    content = gzip.compress(b"") if name.endswith(".gz") else b""
    message = failing(ingest.write(name, content))
    assert name in message
    assert "is empty" in message or "cannot be read as parquet" in message


def test_a_header_without_rows(ingest: Ingest, failing: Failing) -> None:
    assert "has a header but no rows" in failing(ingest.write("a.csv", "x,y\n"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", b"x,y\n1,2\n", "cannot be read as parquet"),
        ("a.jsonl", b"x,y\n1,2\n", "cannot be read as jsonl"),
        (
            "a.jsonl",
            b'{"x": 1}\n{"x": ["one"]}\n',
            "'x' is a number in line 1 and a list in line 2",
        ),
        ("a.jsonl", b'{"x": {"y": 1}}\n{"x": {"y": "a"}}\n', "from number to string in row 2"),
        ("a.csv", b"x,y\n1,2\n1,2,3\n", "row 2 has 3: '1,2,3'"),
        ("a.csv", b"x,y,x\n1,2,3\n", "more than once: 'x'"),
        ("a.csv.gz", b"x,y\n1,2\n", "cannot be read as csv"),
        ("a.csv.gz", gzip.compress(CSV.encode() * 99, mtime=0)[:-20], "cannot be read as csv"),
        ("a.csv.xz", b"x,y\n1,2\n", "cannot be read as csv"),
        ("a.csv.bz2", b"x,y\n1,2\n", "cannot be read as csv"),
        ("a.csv.zst", b"x,y\n1,2\n", "cannot be read as csv"),
        ("a.csv.zip", b"x,y\n1,2\n", "cannot be read as csv"),
        ("a.csv", "x\né\n".encode("cp1252"), "text that is not utf-8"),
        ("a.csv", "é\nx\n".encode("cp1252"), "text that is not utf-8"),
        ("a.jsonl", '{"x": "é"}\n'.encode("cp1252"), "text that is not utf-8"),
        ("a.table", CSV.encode(), "does not say which format"),
    ],
)
def test_damaged_and_foreign_files(
    ingest: Ingest, failing: Failing, name: str, content: bytes, said: str
) -> None:
    assert said in failing(ingest.write(name, content))


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.csv", content)
    return buffer.getvalue()


@pytest.mark.parametrize("above", [0, 100_000_000], ids=["in batches", "whole"])
@pytest.mark.parametrize(
    ("pack", "ending", "compression"),
    [
        (gzip.compress, ".gz", "gzip"),
        (bz2.compress, ".bz2", "bz2"),
        (lzma.compress, ".xz", "xz"),
        (zipped, ".zip", "zip"),
        (lambda content: pa.compress(content, "zstd", asbytes=True), ".zst", "zstd"),
    ],
    ids=["gzip", "bz2", "xz", "zip", "zstd"],
)
def test_a_packed_file_whose_name_does_not_say_so(
    ingest: Ingest, pack: Callable[[bytes], bytes], ending: str, compression: str, above: int
) -> None:
    source = {"kind": "file", "path": ingest.write("a.csv", pack(CSV.encode()))}
    said = f"packed: end its name in {ending}, or set compression to {compression}"
    for bad_rows in ("error", "drop"):
        with pytest.raises(DataError, match=re.escape(said)):
            ingest.run({**source, "bad_rows": bad_rows}, stream_above_bytes=above)
    assert len(ingest.run({**source, "compression": compression})) == 3


def test_an_archive_of_two_files(ingest: Ingest, failing: Failing) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one.csv", CSV)
        archive.writestr("two.csv", CSV)
    message = failing(ingest.write("both.csv.zip", buffer.getvalue()))
    assert "holds 2 files, not one: one.csv, two.csv" in message


def test_a_value_that_is_not_of_the_type_asked_for(ingest: Ingest, failing: Failing) -> None:
    name = ingest.write("a.csv", "x\n1\ntwo\n")
    message = failing({"kind": "file", "path": name, "dtypes": {"x": "int64"}})
    assert "two" in message
    assert "dtypes" in message


def test_columns_that_are_not_there(ingest: Ingest, failing: Failing) -> None:
    name = ingest.write("a.csv", CSV)
    message = failing({"kind": "file", "path": name, "columns": ["nummber"]})
    assert "no column 'nummber'" in message
    assert "did you mean number?" in message


def test_a_file_that_has_changed(ingest: Ingest, failing: Failing) -> None:
    name = ingest.write("a.csv", CSV)
    message = failing({"kind": "file", "path": name, "sha256": "0" * 64})
    assert "has the SHA-256" in message


def test_remote_files_that_are_gone_or_need_a_driver(failing: Failing) -> None:
    assert "cannot be fetched" in failing("memory://nowhere/table.csv")
    message = failing("s3://user:geheim@bucket/table.csv?token=geheim")
    assert "geheim" not in message
    assert fsspec.available_protocols()
    assert "unknown" not in message


def test_no_variable_and_no_url_in_it(failing: Failing, monkeypatch: pytest.MonkeyPatch) -> None:
    source = {"kind": "sql", "url_env": "NO_SUCH_DATABASE", "query": "SELECT 1"}
    assert "variable NO_SUCH_DATABASE is not set" in failing(source)
    monkeypatch.setenv("NO_SUCH_DATABASE", "geheim")
    message = failing(source)
    assert "no SQLAlchemy URL" in message
    assert "geheim" not in message


def test_a_database_that_does_not_answer_keeps_its_password_to_itself(
    failing: Failing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE", "postgresql+psycopg2://anna:geheim@localhost:1/shop")
    message = failing({"kind": "sql", "url_env": "DATABASE", "query": "SELECT 1"})
    assert "the query on postgresql://localhost/shop failed" in message
    assert "geheim" not in message
    assert "anna" not in message


def test_queries_that_fail(ingest: Ingest, failing: Failing) -> None:
    with sqlite3.connect(ingest.root / "shop.db") as database:
        database.execute("CREATE TABLE t (a, b)")
        database.execute("INSERT INTO t VALUES (1, 'x'), ('one', 'y')")
    database.close()

    def fail(query: str, url: str = "sqlite:///shop.db") -> str:
        return failing({"kind": "sql", "url": url, "query": query})

    assert "no such table: u" in fail("SELECT * FROM u")
    assert "answers without rows" in fail("SELECT * FROM t WHERE b = 'z'")
    assert "column 'a' of the query" in fail("SELECT * FROM t")
    assert "of the same name: b" in fail("SELECT b, b FROM t")
    assert "no SQLite database at gone.db" in fail("SELECT 1", "sqlite:///gone.db")
    assert not (ingest.root / "gone.db").exists()


def test_credentials_in_the_config_are_refused(ingest: Ingest) -> None:
    source = {"kind": "sql", "url": "postgresql://anna:geheim@host/shop", "query": "SELECT 1"}
    with pytest.raises(ConfigError, match="no credentials in url"):
        ingest.run(source)


def test_a_failed_run_leaves_the_last_good_one(ingest: Ingest) -> None:
    ingest.run(ingest.write("a.csv", CSV))
    before = ingest.artifacts.raw_table.path.read_bytes()
    with pytest.raises(DataError, match="is empty"):
        ingest.run(ingest.write("b.csv", ""))
    assert ingest.artifacts.raw_table.path.read_bytes() == before
    assert ingest.published == ["raw"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_no_write_permission(ingest: Ingest) -> None:
    (ingest.root / "data").mkdir(mode=0o500)
    with pytest.raises(PermissionError):
        ingest.run(ingest.write("a.csv", CSV))
    assert ingest.published == []


@pytest.mark.parametrize("above", [0, 100_000_000], ids=["in batches", "whole"])
def test_a_full_disk_leaves_nothing_half_written(ingest: Ingest, above: int) -> None:
    import resource
    import signal

    name = ingest.write("a.csv", "n\n" + "\n".join(str(i * 7919 % 99991) for i in range(50_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Writing beyond the limit fails as on a full disk, once the signal is ignored.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            ingest.run(name, stream_above_bytes=above)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert ingest.published == []
    assert not list((ingest.root / ".pipeline/scratch").iterdir())
    assert len(ingest.run(name, stream_above_bytes=above)) == 50_000


UNEVEN = "x,word\n1,a\n2,b,c\n3,d\n4\n5,e\n"


def test_rows_of_the_wrong_length_are_numbered_and_shown(ingest: Ingest, failing: Failing) -> None:
    message = failing(ingest.write("a.csv", UNEVEN))
    assert "2 rows do not have 2 fields" in message
    assert "row 2 has 3: '2,b,c', row 4 has 1: '4'" in message
    assert "bad_rows=drop" in message


@pytest.mark.parametrize("above", ["# made by a tool\n", "Report\n\n", "sep=;\n"])
@pytest.mark.parametrize("whole_bytes", [0, 10**9])
def test_lines_above_the_header_are_suspected(ingest: Ingest, above: str, whole_bytes: int) -> None:
    ingest.write("a.csv", above + CSV)
    with pytest.raises(DataError, match=r"is the first line the header, and ',' the") as error:
        ingest.run("a.csv", stream_above_bytes=whole_bytes)
    assert "bad_rows=drop" not in str(error.value)


def test_rows_of_the_wrong_length_are_left_out_and_counted(
    ingest: Ingest, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ingest.write("a.csv", UNEVEN)
    table = ingest.run({"kind": "file", "path": path, "bad_rows": "drop"})
    assert table["x"].tolist() == [1, 3, 5]
    assert ingest.artifacts.source.read().source.dropped_rows == 2
    assert "2 rows of a.csv are malformed; they are left out (bad_rows)" in capsys.readouterr().out


def test_rows_of_the_wrong_length_are_not_shown_where_data_is_personal(
    ingest: Ingest, failing: Failing
) -> None:
    path = ingest.write("a.csv", UNEVEN)
    message = failing({"kind": "file", "path": path, "pii": {"word": {"how": "drop"}}})
    assert "row 2 has 3, row 4 has 1" in message


@pytest.mark.parametrize(
    ("content", "column", "values"),
    [
        (b"x,w\n1,a\nz,b\n2.5,c\n", "x", ["1", "z", "2.5"]),
        (b'x,w\n1,"a\nb"\n2,c\n', "w", ["a\nb", "c"]),
        (b"x,w\n1,a\x00b\n2,c\n", "w", ["a\x00b", "c"]),
        (b"x,w\n1," + b"y" * 10_000_000 + b"\n2,c\n", "w", ["y" * 10_000_000, "c"]),
        (b"x,w\n123456789012345678901,a\n2,b\n", "x", [123456789012345678901.0, 2.0]),
        (b"x,w\n0000-01-01,a\n2024-01-01,b\n", "x", ["0000-01-01", "2024-01-01"]),
        (
            b"x,w\n2024-01-01T00:00:00Z,a\n2024-01-01T00:00:00,b\n",
            "x",
            ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00"],
        ),
    ],
    ids=["mixed types", "quoted newline", "NUL", "huge", "beyond int64", "year 0", "mixed zones"],
)
def test_odd_values_come_through_as_they_are(
    ingest: Ingest, content: bytes, column: str, values: list[object]
) -> None:
    assert ingest.run(ingest.write("a.csv", content))[column].tolist() == values


BROKEN = b"x,word\n1,a\n2,\xff\xfe\n3,b\n4,\xe9\n5,c\n"


@pytest.mark.parametrize("dtypes", [{}, {"word": "string"}])
def test_broken_text_is_named_by_row(
    ingest: Ingest, failing: Failing, dtypes: dict[str, str]
) -> None:
    message = failing({"kind": "file", "path": ingest.write("a.csv", BROKEN), "dtypes": dtypes})
    assert "a.csv holds text that is not utf-8" in message
    assert r"2 values of column 'word', row 2: b'\xff\xfe', row 4: b'\xe9'" in message
    assert "bad_text=drop" in message


def test_broken_text_is_not_shown_where_data_is_personal(ingest: Ingest, failing: Failing) -> None:
    path = ingest.write("a.csv", BROKEN)
    message = failing({"kind": "file", "path": path, "pii": {"x": {"how": "drop"}}})
    assert "2 values of column 'word', row 2, row 4" in message
    assert "xff" not in message


@pytest.mark.parametrize(
    ("policy", "x", "words"),
    [
        ("drop", [1, 3, 5], ["a", "b", "c"]),
        ("null", [1, 2, 3, 4, 5], ["a", None, "b", None, "c"]),
    ],
)
def test_broken_text_is_left_out_or_missing_and_counted(
    ingest: Ingest, capsys: pytest.CaptureFixture[str], policy: str, x: list[int], words: list[str]
) -> None:
    path = ingest.write("a.csv", BROKEN)
    table = ingest.run({"kind": "file", "path": path, "bad_text": policy})
    assert table["x"].tolist() == x
    assert table["word"].astype(object).where(table["word"].notna(), None).tolist() == words
    assert ingest.record.source.broken_rows == 2
    assert "2 rows of a.csv hold text of another encoding (bad_text)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_a_file_of_utf_16_says_so_itself(ingest: Ingest, failing: Failing, name: str) -> None:
    content = "x,word\n1,a\n" if name == "a.csv" else '{"x": 1, "word": "a"}\n'
    path = ingest.write(name, content.encode("utf-16"))
    assert "it begins with the mark of utf-16: set encoding to utf-16" in failing(path)
    table = ingest.run({"kind": "file", "path": path, "encoding": "utf-16"})
    assert table["word"].tolist() == ["a"]


def test_broken_text_of_jsonl_is_named_by_line(ingest: Ingest, failing: Failing) -> None:
    content = b'{"x": "a"}\n{"x": "\xe9"}\n'
    assert "(line 2: byte 0xe9)" in failing(ingest.write("a.jsonl", content))


def test_digits_that_are_lost_are_told(ingest: Ingest, capsys: pytest.CaptureFixture[str]) -> None:
    content = "order,x,share\n123456789012345678901,1,1e30\n123456789012345678902,2,0.5\n"
    path = ingest.write("a.csv", content)
    ingest.run(path)
    said = capsys.readouterr().out
    assert "'order' holds whole numbers beyond 64 bits" in said
    assert "'share'" not in said
    table = ingest.run({"kind": "file", "path": path, "dtypes": {"order": "string"}})
    assert table["order"].tolist() == ["123456789012345678901", "123456789012345678902"]
    assert "64 bits" not in capsys.readouterr().out


def test_a_json_number_beyond_64_bits_is_as_near_as_can_be(ingest: Ingest) -> None:
    path = ingest.write("a.jsonl", '{"x": 123456789012345678901}\n{"x": 2}\n')
    assert ingest.run(path)["x"].tolist() == [123456789012345678901.0, 2.0]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", '{"x": 1, "x": 2}\n'),
        ("a.tsv", "x\tx\n1\t2\n"),
    ],
)
def test_names_that_stand_twice(ingest: Ingest, failing: Failing, name: str, content: str) -> None:
    message = failing(ingest.write(name, content))
    assert name in message


def words(table: pd.DataFrame) -> list[str | None]:
    return table["word"].astype(object).where(table["word"].notna(), None).tolist()


def parquet_of(values: list[bytes]) -> bytes:
    """A Parquet file whose column `word` says that it is text, whatever it holds."""
    data = pa.array(values, pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(values), data.buffers())
    packed = io.BytesIO()
    parquet.write_table(pa.table({"x": range(1, len(values) + 1), "word": text}), packed)
    return packed.getvalue()


ELSEWHERE = {
    "cp932": ("a.csv", "x,word\n1,東\n2,".encode("cp932") + b"\x81\n3,b\n", {"encoding": "cp932"}),
    "utf-16": (
        "a.csv",
        "x,word\n1,東\n2,".encode("utf-16") + b"\x00\xdc" + "\n3,b\n".encode("utf-16-le"),
        {"encoding": "utf-16"},
    ),
    "jsonl": (
        "a.jsonl",
        '{"x": 1, "word": "東"}\n{"x": 2, "word": "'.encode() + b'\xe9"}\n{"x": 3, "word": "b"}\n',
        {},
    ),
    "jsonl, cp932": (
        "a.jsonl",
        '{"x": 1, "word": "東"}\n{"x": 2, "word": "'.encode("cp932")
        + b'\x81\xff"}\n{"x": 3, "word": "b"}\n',
        {"encoding": "cp932"},
    ),
    "parquet": ("a.parquet", parquet_of(["東".encode(), b"\xe9", b"b"]), {}),
}
"""Files whose second row holds text of another encoding."""


@pytest.mark.parametrize("above", [0, 100_000_000], ids=["in batches", "whole"])
@pytest.mark.parametrize("case", ELSEWHERE)
def test_broken_text_of_every_format_and_encoding_follows_the_policy(
    ingest: Ingest, capsys: pytest.CaptureFixture[str], case: str, above: int
) -> None:
    name, content, options = ELSEWHERE[case]
    source = {"kind": "file", "path": ingest.write(name, content), **options}
    with pytest.raises(DataError, match=r"holds text that is not .*(row|line) 2"):
        ingest.run(source, stream_above_bytes=above)
    for policy, x, expected in (
        ("drop", [1, 3], ["東", "b"]),
        ("null", [1, 2, 3], ["東", None, "b"]),
    ):
        table = ingest.run({**source, "bad_text": policy}, stream_above_bytes=above)
        assert (table["x"].tolist(), words(table)) == (x, expected)
        assert ingest.record.source.broken_rows == 1
        assert "1 rows of" in capsys.readouterr().out


def test_a_broken_name_of_jsonl_is_never_made_up(ingest: Ingest) -> None:
    path = ingest.write("a.jsonl", b'{"x": 1}\n{"x": 2, "\xe9": 3}\n')
    source = {"kind": "file", "path": path, "bad_text": "null"}
    with pytest.raises(DataError, match="line 2, and not within a value"):
        ingest.run(source)
    assert ingest.run({**source, "bad_text": "drop"})["x"].tolist() == [1]


def test_bytes_of_parquet_stay_bytes(ingest: Ingest) -> None:
    frame = pd.DataFrame({"x": [1, 2], "picture": [b"\xff\xd8", b"\x00"]})
    frame.to_parquet(ingest.root / "a.parquet")
    assert ingest.run("a.parquet")["picture"].tolist() == [b"\xff\xd8", b"\x00"]


def test_an_encoding_that_does_not_exist_is_refused(ingest: Ingest) -> None:
    with pytest.raises(ConfigError, match="an encoding that Python knows"):
        ingest.run({"kind": "file", "path": "a.csv", "encoding": "utf9"})


LINES = '{"x": 1, "w": "a"}\n{"x": 2, "w": \n[3]\n\n{"x": 4, "x": 5}\n{"x": 6}\n'
"""JSON lines of which the second, the third and the fifth are no whole object."""


def test_lines_that_are_no_object_are_numbered_or_left_out(
    ingest: Ingest, failing: Failing, capsys: pytest.CaptureFixture[str]
) -> None:
    path = ingest.write("a.jsonl", LINES)
    message = failing(path)
    assert "3 lines are no JSON object (line 2: Expecting value, line 3: a list instead" in message
    assert "line 5: the name 'x' stands twice); bad_rows=drop leaves them out" in message
    table = ingest.run({"kind": "file", "path": path, "bad_rows": "drop"})
    assert table["x"].tolist() == [1, 6]
    assert ingest.record.source.dropped_rows == 3
    assert "3 rows of a.jsonl are malformed" in capsys.readouterr().out
    ingest.write("a.jsonl", "[1]\n")
    with pytest.raises(DataError, match="is empty"):
        ingest.run({"kind": "file", "path": path, "bad_rows": "drop"})


@pytest.mark.parametrize(
    ("content", "options", "values"),
    [
        ('{"x": 1}\n{"x": null}\n{"x": "one"}\n{"x": true}\n', {}, ["1", None, "one", "true"]),
        ('{"x": 1.50}\n{"x": 2}\n', {"dtypes": {"x": "string"}}, ["1.5", "2"]),
        ('{"x": "2024-01-01"}\n{"x": "0000-01-01"}\n', {}, ["2024-01-01", "0000-01-01"]),
        ('{"x": "a\\u0000b\\nc"}\n', {}, ["a\0b\nc"]),
        ('{"x": "' + "y" * 10_000_000 + '"}\n', {}, ["y" * 10_000_000]),
    ],
    ids=["mixed types", "numbers as text", "year 0", "NUL and newline", "huge"],
)
def test_odd_values_of_jsonl_come_through_as_text(
    ingest: Ingest, content: str, options: dict[str, object], values: list[str | None]
) -> None:
    path = ingest.write("a.jsonl", content)
    found = ingest.run({"kind": "file", "path": path, **options})["x"]
    assert found.astype(object).where(found.notna(), None).tolist() == values


def test_values_of_a_wrong_type_are_not_quoted_where_data_is_personal(
    ingest: Ingest, failing: Failing
) -> None:
    path = ingest.write("a.jsonl", '{"x": 1, "w": "a"}\n{"x": "secret", "w": "b"}\n')
    source = {"kind": "file", "path": path, "dtypes": {"x": "int64"}}
    assert "in row 2" in failing(source)
    message = failing({**source, "pii": {"w": {"how": "drop"}}})
    assert "not told in full" in message
    assert "secret" not in message


@pytest.mark.parametrize("above", [0, 100_000_000], ids=["in batches", "whole"])
def test_years_of_parquet_that_python_cannot_hold_become_text(ingest: Ingest, above: int) -> None:
    days = pa.array([0, -719_528], pa.date32())
    zoned = pa.array([0, 3], pa.timestamp("us", "America/New_York"))
    parquet.write_table(pa.table({"x": days, "at": zoned}), ingest.root / "a.parquet")
    ingest.run("a.parquet", stream_above_bytes=above)
    table = parquet.read_table(ingest.artifacts.raw_table.path)
    assert table["x"].to_pylist() == ["1970-01-01", "0000-01-01"]
    assert table["at"].type == zoned.type


def test_objects_that_never_have_a_field_are_missing_values(ingest: Ingest):
    ingest.write(
        "a.jsonl",
        '{"x":1,"m":{},"n":{"o":{},"y":2},"l":[{}]}\n{"x":2,"m":{},"n":{"o":{}}}\n{"x":3}\n',
    )
    for whole_bytes in (0, 10**9):
        table = ingest.run("a.jsonl", stream_above_bytes=whole_bytes)
        assert table["x"].tolist() == [1, 2, 3]
        assert table["m"].isna().all()
        assert table["n"].tolist()[:2] == [{"o": None, "y": 2}, {"o": None, "y": None}]
        assert [len(items) for items in table["l"].dropna()] == [1]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "x,,\n1,,\n", "''.* remove those without a name"),
        ("a.csv", "x\n1\nEmpty\n", "invalid value 'Empty'"),
        ("a.csv", "x", "is empty, or has no row below its header"),
        ("a.jsonl", "{}\n{}\n", "is empty: no object has a field"),
        ("a.xlsx", "PK", "save the sheet as CSV"),
        ("a.json", "[]", "write one object a line"),
    ],
)
def test_the_message_says_what_is_wrong(ingest: Ingest, name: str, content: str, said: str):
    ingest.write(name, content)
    dtypes = {"x": "int64"} if name == "a.csv" else {}
    with pytest.raises(DataError, match=f"(?s){said}"):
        ingest.run({"kind": "file", "path": name, "dtypes": dtypes})
    assert ingest.published == []


def test_a_header_longer_than_a_megabyte(ingest: Ingest):
    names = [f"gene_{i:06}_{'x' * 300}" for i in range(4000)]
    ingest.write("wide.csv", ",".join(names) + "\n" + ",".join("1" * 4000) + "\n")
    for whole_bytes in (0, 10**9):
        assert list(ingest.run("wide.csv", stream_above_bytes=whole_bytes)) == names
