"""A large file that is brought in batch by batch gives what reading it whole gives."""

from __future__ import annotations

import gzip
import io
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from pipeline.core.errors import DataError, PipelineError
from pipeline.core.schema import build
from pipeline.ingest import read_jsonl, rows, stage, stream, stream_csv
from pipeline.ingest.config import FileSource
from tests.ingest.conftest import Ingest

VALUES = st.sampled_from(
    [
        *("", "NA", "1", "0", "1.5", "true", "word", "999999999999999999999999"),
        *("2024-02-29", "12:30:00", "2024-02-29 12:30:00", "2024-02-29T12:30:00Z"),
        *("2024-02-29 12:30:00.5", "0001-01-01", "9999999-01-01"),
    ]
)


def brought(root: Path, files: Mapping[str, str | bytes], *run: Any, **options: Any) -> Any:
    """What a run leaves: the bytes of the table and what is recorded, or the message."""
    ingest = Ingest(root)
    ingest.root.mkdir()
    for name, content in files.items():
        ingest.write(name, content)
    try:
        ingest.run(*run, **options)
    except PipelineError as error:
        assert not ingest.published, "nothing half written"
        return str(error).replace(str(root), "")
    finally:
        assert not list((root / ".pipeline/scratch").iterdir()), "nothing left on the way"
    return ingest.artifacts.raw_table.path.read_bytes(), ingest.record


def same(files: Mapping[str, str | bytes], *run: Any, inexact: str = "", **options: Any) -> Any:
    """What a run leaves, which is the same at once and in batches of a few rows.

    What matches `inexact` may differ in messages.
    """
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_PII_KEY", "a secret of thirty-two characters")
        whole = brought(Path(name) / "whole", files, *run, **options)
        patch.setattr(stream_csv, "BLOCK_BYTES", 256)
        patch.setattr(read_jsonl, "BLOCK_BYTES", 100)
        patch.setattr(rows, "_BATCH_ROWS", 3)
        batches = brought(Path(name) / "parts", files, *run, **options, stream_above_bytes=0)
    if isinstance(whole, str) or isinstance(batches, str):
        assert isinstance(whole, str)
        assert isinstance(batches, str)
        assert re.sub(inexact, "", batches) == re.sub(inexact, "", whole)
        return batches
    tables = [parquet.read_table(io.BytesIO(content)) for content, _ in (whole, batches)]
    assert tables[1].schema == tables[0].schema
    assert tables[1].equals(tables[0])
    assert batches == whole
    return tables[1], batches[1]


def both(content: str | bytes, name: str = "t.csv", **options: Any) -> Any:
    """The same for one file."""
    return same({name: content}, {"kind": "file", "path": name, **options})


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=4), st.lists(VALUES, max_size=4))
def test_types_come_from_all_rows(first: list[str], later: list[str]):
    # The later values stand beyond the first block, which types are guessed from.
    lines = [f"{i},{first[i % len(first)]}" for i in range(40)]
    lines += [f"{i},{value}" for i, value in enumerate(later, start=40)]
    both("id,value\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize("word", ["a", "1.5", "2024-02-29", "2024-02-29 12:30:00Z", "x\ny", '"'])
def test_a_late_value_begins_the_file_anew_but_once(monkeypatch: pytest.MonkeyPatch, word: str):
    quoted = word.replace('"', '""')
    opened: list[Path] = []

    def watched(path: Path, *rest: Any) -> Any:
        opened.append(path)
        return open_file(path, *rest)

    open_file = stream.opened
    monkeypatch.setattr(stream, "opened", watched)
    both("id,value\n" + "1,\n" * 200 + f'2,"{quoted}"\n')
    assert len(opened) == 2


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
@pytest.mark.parametrize("pii", [{}, {"b": {"how": "drop"}}], ids=["", "personal"])
def test_bad_files_are_told_of_alike(
    at_once: list[str], name: str, bad_rows: str, pii: dict[str, Any]
):
    found = both(BAD[name], bad_rows=bad_rows, pii=pii)
    assert isinstance(found, str) or name == "a long field" or set(at_once) == {"whole"}
    assert not (pii and isinstance(found, str) and "3,4,5" in found)


def test_quotes_within_values_only_cost_a_thread(at_once: list[str]):
    table, _ = both(b'a,b\n5",x\n' + b'"a\nb",c\n' * 60)
    assert table["a"].to_pylist() == ['5"'] + ["a\nb"] * 60
    assert set(at_once) == {"whole"}


BROKEN = {
    "words": b"a,b\n" + b"1,x\n" * 90 + b"2,\xe9\n3,z\n4,\xff\n" + b"5,y\n" * 90,
    "at once": b"a,b\n1,\xe9\n" + b"2,y\n" * 90,
    "dates": b"a,b\n" + b"1,2024-01-01\n" * 90 + b"2,\xe9\n" + b"3,2024-01-02\n" * 90,
    "moments": b"a,b\n1,2024-01-01T10:00:00Z\n2,\xe9\n" + b"3,2024-01-01T10:00:00+02:00\n" * 90,
    "numbers": b"a,b\n" + b"1,1\n" * 90 + b"2,\xe9\n" + b"3,1.5\n" * 90,
    "two columns": b"a,b\n" + b"x,y\n" * 90 + b"\xe9,1\n" + b"x,\xe8\n" * 2 + b"x,y\n" * 90,
    "a name": b"a,\xe9\n1,2\n",
    "uneven rows too": b"a,b\n" + b"1,x\n" * 90 + b"2,\xe9\n3\n" + b"5,y\n" * 90,
    "and a late type": b"a,b\n" + b"1,x\n" * 90 + b"2,\xe9\n" + b"z,y\n" * 90,
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("bad_text", ["error", "drop", "null"])
@pytest.mark.parametrize("dtypes", [{}, {"b": "string"}], ids=["guessed", "asked"])
def test_broken_text_is_treated_alike(
    at_once: list[str], name: str, bad_text: str, dtypes: dict[str, str]
):
    options = {"bad_text": bad_text, "dtypes": dtypes}
    found = [both(BROKEN[name], bad_rows=rows, **options) for rows in ("error", "drop")]
    if bad_text == "error" or name == "a name":
        assert isinstance(found[1], str)
    else:
        assert set(at_once) == {"whole"}
        odd = sum(BROKEN[name].count(byte) for byte in (b"\xe8", b"\xe9", b"\xff"))
        assert found[1][1].source.broken_rows == odd


def test_parquet_with_an_empty_row_group_and_with_a_name_twice(tmp_path: Path):
    table = pa.table({"x": [1, 2, 3], "w": ["a", "b", "c"]})
    with parquet.ParquetWriter(tmp_path / "t.parquet", table.schema) as writer:
        for part in (table[:2], table[:0], table[2:]):
            writer.write_table(part)
    found, _ = both((tmp_path / "t.parquet").read_bytes(), "t.parquet")
    assert found["x"].to_pylist() == [1, 2, 3]
    parquet.write_table(table.rename_columns(["x", "x"]), tmp_path / "t.parquet")
    told = both((tmp_path / "t.parquet").read_bytes(), "t.parquet")
    assert "names 1 columns more than once: 'x'" in told
    assert "cannot be read" in both(b"PAR1 and no more", "t.parquet")


FORMATS = ["t.csv", "t.tsv", "t.csv.gz", "t.parquet", "t.parquet.gz", "t.jsonl", "t.jsonl.gz"]


def contents(frame: pd.DataFrame, name: str) -> bytes:
    """A table as a file of the format that the name says."""
    buffer = io.BytesIO()
    if "parquet" in name:
        frame.to_parquet(buffer, row_group_size=100)
    elif "jsonl" in name:
        frame.to_json(buffer, orient="records", lines=True)
    else:
        frame.to_csv(buffer, index=False, sep="\t" if "tsv" in name else ",")
    return gzip.compress(buffer.getvalue()) if name.endswith("gz") else buffer.getvalue()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_and_its_options(name: str):
    frame = pd.DataFrame({"id": range(1000), "word": [f"w{i}" for i in range(1000)], "x": 0.5})
    content = contents(frame, name)
    table, record = both(content, name, columns=["word", "id"], dtypes={"id": "string"})
    assert set(table.column_names) == {"word", "id"}
    assert table["word"].to_pylist() == frame["word"].tolist()
    assert record.rows == 1000
    assert "no column 'wrd'" in both(content, name, columns=["wrd"])


@pytest.mark.parametrize("name", FORMATS)
def test_words_that_mean_nothing_in_every_format(name: str):
    frame = pd.DataFrame({"id": range(50), "word": ["?", "a", None, "-", "b"] * 10})
    table, _ = both(contents(frame, name), name, missing=["?", "-"])
    assert table["word"].to_pylist() == [None, "a", None, None, "b"] * 10
    frame["word"] = frame["word"].map({"a": "1.5", "b": "2"}).fillna("?")
    asked = {"missing": ["?"], "dtypes": {"word": "float64"}} if "parquet" in name else {}
    table, _ = both(contents(frame, name), name, **{"missing": ["?"], **asked})
    expected = [None, 1.5, None, None, 2.0] * 10
    assert [None if one is None else float(one) for one in table["word"].to_pylist()] == expected


PII = {
    "who": {"how": "hash"},
    "born": {"how": "generalise", "date": "year"},
    "age": {"how": "generalise", "step": 10},
    "name": {"how": "drop"},
}
PEOPLE = pd.DataFrame(
    {
        "who": pd.array([None, *range(2**60, 2**60 + 38), 5], "Int64"),
        "born": [f"19{i:02}-0{i % 9 + 1}-11" for i in range(40)],
        "age": [None if i % 7 == 0 else i + 0.5 for i in range(40)],
        "name": [f"Ada {i}" for i in range(40)],
        "town": ["Ulm", "Bonn", None, "Köln"] * 10,
    }
)


@pytest.mark.parametrize("name", FORMATS)
def test_personal_data_is_protected_in_every_format(name: str):
    table, record = both(contents(PEOPLE, name), name, pii=PII)
    assert table.column_names == ["who", "born", "age", "town"]
    assert table["age"].to_pylist()[:12] == [None, *[0.0] * 6, None, *[0.0] * 2, *[10.0] * 2]
    assert set(table["born"].to_pylist()) == {f"19{i:02}-01-01" for i in range(40)}
    assert len(set(table["who"].to_pylist())) == 40, "64 bits are hashed, beside missing ones too"
    assert list(record.pii_keys) == ["PIPELINE_PII_KEY"]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("above", [0, 10**9], ids=["in batches", "whole"])
def test_nothing_lies_unprotected_on_the_way(
    ingest: Ingest, monkeypatch: pytest.MonkeyPatch, name: str, above: int
):
    seen: list[list[str]] = []

    def watched(tables: Any, *rest: Any) -> Any:
        files = [path for path in (ingest.root / ".pipeline").rglob("*") if path.is_file()]
        seen.extend(parquet.read_schema(path).names for path in files)
        return sample(tables, *rest)

    sample = stage.sample
    monkeypatch.setattr(stage, "sample", watched)
    ingest.write(name, contents(PEOPLE, name))
    pii = {column: {"how": "drop"} for column in ("name", "who", "born")}
    source = {"kind": "file", "path": name, "pii": pii}
    ingest.run(source, sample_rows=10, stream_above_bytes=above)
    assert seen == [["age", "town"]]


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
@pytest.mark.parametrize(
    ("column", "how"), [("name", {"how": "generalise", "step": 1}), ("nmae", {"how": "drop"})]
)
def test_protection_that_fails_is_told_alike(name: str, column: str, how: dict[str, Any]):
    told = both(contents(PEOPLE, name), name, pii={column: how})
    assert "holds values that are no numbers" in told or "no column 'nmae'" in told
    assert "Ada" not in told


@pytest.mark.parametrize("whole_bytes", [0, 10**9])
@pytest.mark.parametrize("name", FORMATS)
def test_options_of_columns_that_are_not_there_can_be_passed_over(
    tmp_path: Path, name: str, whole_bytes: int
):
    (tmp_path / name).write_bytes(contents(PEOPLE, name))
    pii = {"name": {"how": "drop"}, "gone": {"how": "drop"}}
    dtypes = {"town": "string", "gone": "int64"}
    source = {"kind": "file", "path": name, "pii": pii, "dtypes": dtypes}
    how, target = build(FileSource, source), tmp_path / "rows"
    path, size = tmp_path / name, whole_bytes
    made = stream.write_rows(path, name, how, target, whole_bytes=size, strict=False)
    assert made.rows == 40
    assert parquet.read_schema(target).names == ["who", "born", "age", "town"]
    with pytest.raises(PipelineError, match="no column 'gone'"):
        stream.write_rows(path, name, how, target, whole_bytes=size)


@settings(max_examples=12, deadline=None)
@given(
    left=st.lists(st.sampled_from(["a", "b", "c", "", "é"]), min_size=1, max_size=40),
    right=st.sets(st.sampled_from(["a", "b", "é", "x"]), min_size=1),
    rows=st.none() | st.integers(1, 30),
)
def test_joins_and_samples(left: list[str], right: set[str], rows: int | None):
    start = pd.Timestamp("2024-01-01")
    hours = [start + pd.Timedelta(hours=i * 5 % 17) for i in range(len(left))]
    main = pd.DataFrame({"id": range(len(left)), "key": left, "at": hours})
    partner = pd.DataFrame({"key": sorted(right), "value": range(len(right)), "at": start})
    files = {
        name: frame.to_csv(index=False) for name, frame in (("m.csv", main), ("p.csv", partner))
    }
    source = {"kind": "file", "path": "p.csv"}
    before = {"column": "at", "gap_hours": 2, "within_hours": 9, "age": True}
    joins = {
        "plain": {"source": source, "key": ["key"], "columns": ["value"]},
        "latest": {"source": source, "key": ["key"], "before": before, "prefix": "b_"},
        # A key that an earlier join has brought.
        "again": {"source": source, "key": ["value"], "columns": ["key"], "prefix": "a_"},
    }
    found = same(files, "m.csv", joins, sample_rows=rows)
    if isinstance(found, str):
        assert "compares" in found or "join" in found  # all keys are missing
        return
    table, record = found
    assert record.rows == table.num_rows == min(rows or len(left), len(left))
    known = dict(zip(partner["key"], partner["value"], strict=True))
    assert table["value"].to_pylist() == [known.get(key) for key in table["key"].to_pylist()]
    ids = table["id"].to_pylist()
    assert ids == sorted(set(ids))


def test_joins_that_do_not_fit_are_told_alike():
    files = {"m.csv": "id,key\n" + "1,a\n" * 50, "p.csv": "key,v\na,1\na,2\n"}
    for join in ({"key": ["key"]}, {"key": ["kye"]}, {"left_key": ["id"], "right_key": ["key"]}):
        assert same(files, "m.csv", {"p": {"source": {"kind": "file", "path": "p.csv"}, **join}})


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=8), min_size=1, max_size=4), st.booleans())
def test_dated_files(days: list[list[str]], hashed: bool):
    files = {
        f"t-2024-01-0{day}.csv": "id,value\n" + "".join(f"{i},{v}\n" for i, v in enumerate(values))
        for day, values in enumerate(days, start=1)
    }
    pii = {"pii": {"value": {"how": "hash"}}} if hashed else {}
    span = {"kind": "file", "path": "t-{date}.csv", "span": {"column": "day"}, **pii}
    found = same(files, span)
    if isinstance(found, str):
        assert "has another type than before" in found
    else:
        assert found[0].num_rows == sum(map(len, days))


JSON_VALUES = st.sampled_from(
    [
        *("null", "1", "-0.5", "1e400", "true", '"word"', '""', '"?"', "[]", "[1]", '["a"]'),
        *('{"y": 1}', '{"y": "a"}', '{"z": [null, 1.5]}', "{}", "123456789012345678901"),
        *('"2024-02-29"', '"2024-02-29T12:30:00Z"', '"2024-02-29 12:30:00.5"', '"0000-01-01"'),
    ]
)
LINES = st.lists(
    st.builds(lambda x, w: f'{{"x": {x}, "{w}": {x}}}', JSON_VALUES, st.sampled_from("abw"))
    | st.builds(lambda x: f'{{"x": {x}}}', JSON_VALUES)
    | st.sampled_from(["", "  ", "{}", "[1]", '{"x": 1', '{"x": 1, "x": 2}']),
    min_size=1,
    max_size=14,
)


@settings(max_examples=60, deadline=None)
@given(
    LINES,
    st.sampled_from(["error", "drop"]),
    st.sampled_from([{}, {"x": "string"}, {"x": "float64"}]),
    st.sampled_from([[], ["?"]]),
)
def test_json_lines(lines: list[str], bad_rows: str, dtypes: dict[str, str], missing: list[str]):
    source = {"kind": "file", "path": "t.jsonl", "bad_rows": bad_rows, "missing": missing}
    # Which value is named first, where some are not of the type asked for, may depend on the block.
    inexact = r"JSON.*(in row \d+|parse:.*)" if "float64" in dtypes.values() else ""
    same({"t.jsonl": "\n".join(lines)}, {**source, "dtypes": dtypes}, inexact=inexact)


@pytest.mark.parametrize(
    ("encoding", "odd"), [("utf-8", b"\xe9"), ("utf-16", b"\x00\xdc"), ("cp932", b"\x81\xff")]
)
@pytest.mark.parametrize("bad_text", ["error", "drop", "null"])
def test_json_lines_of_other_encodings(encoding: str, odd: bytes, bad_text: str):
    words = [f"東京 {i}" for i in range(40)]
    content = "".join(f'{{"x": 1, "w": "{word}"}}\n' for word in words).encode(encoding)
    table, _ = both(content, "t.jsonl", encoding=encoding, bad_text=bad_text)
    assert table["w"].to_pylist() == words
    letter = "東".encode(encoding.replace("16", "16-le"))
    before, after = content.rsplit(letter, 1)
    found = both(before + odd + after, "t.jsonl", encoding=encoding, bad_text=bad_text)
    if bad_text == "error":
        assert "line 40: byte" in found
    else:
        assert found[0]["w"].to_pylist() == words[:-1] + [None] * (bad_text == "null")
        assert found[1].source.broken_rows == 1


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "utf-16"])
@pytest.mark.parametrize("quote", ["", '5" '])
def test_no_row_is_lost_beside_a_nul(ingest: Ingest, encoding: str, quote: str):
    """Arrow's fast search for delimiters overlooks those that follow a NUL."""
    words = [f"{quote}a long value {'é' * (i % 9)}\0" for i in range(400)]
    lines = ["a\0,b,c", *(f"{i},{word},x" for i, word in enumerate(words))]
    ingest.write("nul.csv", ("\n".join(lines) + "\n").encode(encoding))
    source = {"kind": "file", "path": "nul.csv", "encoding": encoding}
    for whole_bytes in (0, 10**9):
        table = ingest.run(source, stream_above_bytes=whole_bytes)
        assert table["a\0"].tolist() == list(range(400))
        assert table["b"].tolist() == words
        assert set(table["c"]) == {"x"}


def test_rows_of_the_wrong_length_beside_a_nul_are_named(ingest: Ingest):
    ingest.write("nul.csv", b"a,b\n1,\0\n2,a long value\0,x\n")
    with pytest.raises(DataError, match=r"row 2 has 3: '2,a long value\\x00,x'"):
        ingest.run("nul.csv")


def test_no_quoted_end_of_line_is_lost_between_two_blocks(ingest: Ingest):
    words = [f"{'z' * (i % 29)}A\r\nB" for i in range(120_000)]
    rows = "".join(f'{i},"{word}"\r\n' for i, word in enumerate(words))
    ingest.write("crlf.csv", f"a,b\r\n{rows}")
    for whole_bytes in (0, 10**9):
        assert ingest.run("crlf.csv", stream_above_bytes=whole_bytes)["b"].tolist() == words
