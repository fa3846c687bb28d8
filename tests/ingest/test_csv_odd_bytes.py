"""CSV with bytes that Arrow's reader does not stand: the rows that are in the file, by policy."""

from __future__ import annotations

import csv as python_csv
import io
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.core.errors import DataError
from pipeline.ingest import csv_text
from pipeline.ingest.csv_marks import in_types_of, is_plain, marked, restored, told
from pipeline.ingest.csv_text import Utf8File, WholeLineEnds, is_plain_file
from tests.ingest.conftest import Ingest
from tests.ingest.test_stream import both

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")

BROKEN = {"utf-8": b"\xe9", "utf-16-le": b"\x00\xdc", "cp932": b"\x81\xff"}
STRAY = '5" '
"""Where quotes stand within values, a file is not cut into blocks but read on one thread."""


def lines(encoding: str, quote: str, *tail: str) -> bytes:
    """Rows of three columns, of which `!` is broken text."""
    rows = [f"{i},{quote}long enough a value {i},x" for i in range(60)]
    text = "\n".join(["a,b,c", *rows, *tail, *rows]) + "\n"
    return text.encode(encoding).replace("!".encode(encoding), BROKEN[encoding])


@pytest.mark.parametrize("quote", ["", STRAY])
@pytest.mark.parametrize("encoding", BROKEN)
def test_rows_of_the_wrong_length_with_broken_text_are_left_out(
    at_once: list[str], encoding: str, quote: str
):
    content = lines(encoding, quote, "1,!", "2,y,z", "3,!,4,5", "6,!,z", "!")
    options = {"encoding": encoding, "bad_rows": "drop"}
    for bad_text, broken in (("null", [None]), ("drop", [])):
        table, record = both(content, bad_text=bad_text, **options)
        assert table["a"].to_pylist() == [*range(60), 2, *[6] * len(broken), *range(60)]
        assert table["b"].to_pylist()[60 : 61 + len(broken)] == ["y", *broken]
        assert (record.source.dropped_rows, record.source.broken_rows) == (3, 1)
    assert set(at_once) == {"whole"}, "batch by batch where the file is large"
    assert "row 62" in both(content, **options)
    content = lines(encoding, quote, "1,!", "2,y,z", "3,!,4,5")
    assert both(content, **options)[1].source.dropped_rows == 2, "no text that is left is broken"


@pytest.mark.parametrize("quote", ["", STRAY])
@pytest.mark.parametrize("pii", [{}, {"b": {"how": "drop"}}], ids=["", "personal"])
def test_rows_of_the_wrong_length_with_broken_text_are_named(quote: str, pii: dict[str, Any]):
    said = both(lines("utf-8", quote, "1,!", "2,y,z", "3,!,4\0,5"), pii=pii)
    shown = ["", ""] if pii else [r": '1,\xe9'", r": '3,\xe9,4\x00,5'"]
    assert f"2 rows do not have 3 fields (row 61 has 2{shown[0]}, row 63 has 4{shown[1]})" in said


def test_a_value_that_does_not_fit_is_shown_as_it_is(ingest: Ingest):
    ingest.write("a.csv", b"a,b\n1,\xe9\0\n")
    with pytest.raises(DataError, match=r"invalid value '\\xe9\\x00'"):
        ingest.run({"kind": "file", "path": "a.csv", "dtypes": {"b": "int64"}})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("quote", ["", STRAY])
def test_no_row_is_lost_beside_a_nul_of_another_encoding(
    at_once: list[str], encoding: str, quote: str
):
    words = [f"{quote}a long value {'é' * (i % 9)}\0" for i in range(400)]
    rows = ["a\0,b,c", *(f"{i},{word},x" for i, word in enumerate(words))]
    table, _ = both(("\n".join(rows) + "\n").encode(encoding), encoding=encoding)
    assert table["a\0"].to_pylist() == list(range(400))
    assert table["b"].to_pylist() == words
    assert set(at_once) == {"whole"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("quote", ["", STRAY])
def test_quoted_line_ends_between_two_blocks(at_once: list[str], encoding: str, quote: str):
    words = [f"{'z' * (i % 29)}A\r\n\r\r\nB" for i in range(600)]
    rows = "".join(f'{i},"{word}",{quote}x\r\n' for i, word in enumerate(words))
    table, _ = both(f"a,b,c\r\n{rows}".encode(encoding), encoding=encoding)
    assert table["a"].to_pylist() == list(range(600))
    assert table["b"].to_pylist() == words
    assert set(at_once) == {"whole"}


FIELDS = st.lists(st.sampled_from([b"a", b" ", b"\xe9", b"\xc3\xa9", b"\0", b'"']), max_size=4)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(FIELDS.map(b"".join), min_size=1, max_size=4), min_size=1, max_size=30),
    st.integers(1, 9),
)
def test_any_rows_are_those_of_another_reader(rows: list[list[bytes]], times: int):
    """Python's own reader takes all of it, as text in which broken bytes have their place."""
    text = [[value.decode("utf-8", "surrogateescape") for value in row] for row in rows * times]
    out = io.StringIO()
    python_csv.writer(out, lineterminator="\n", quoting=python_csv.QUOTE_ALL).writerows(text)
    content = ("a,b\n1,1\n" + out.getvalue()).encode("utf-8", "surrogateescape")
    expected = [["1", "1"], *(row for row in text if len(row) == 2)]
    options = {"bad_rows": "drop", "default_missing": False, "bad_text": "null"}
    table, record = both(content, dtypes={"a": "string", "b": "string"}, **options)
    assert record.source.dropped_rows == len(text) + 1 - len(expected)
    assert record.source.broken_rows == sum("\udce9" in "".join(row) for row in expected)
    for place, name in enumerate("ab"):
        words = [row[place] for row in expected]
        good = [None if "\udce9" in word else word for word in words]
        assert table[name].to_pylist() == good


def test_no_character_of_the_file_stands_for_another():
    private = "".join(map(chr, range(0xF0000, 0xF0100)))
    text = f"a\n{private}\0".encode() + b"\xff\xe9"
    made, marks = marked(text)
    assert len(marks) == 3
    table = pa.table({"a": [made.decode()], "n": [1]})
    assert restored(table, marks)["a"].to_pylist() == [text]
    assert told(made.decode()[-3:], marks) == r"\x00\xff\xe9"
    with pytest.raises(pa.ArrowInvalid, match=r"In CSV column #0: .*invalid UTF8 data"):
        in_types_of(table.schema, restored(table, marks))


def test_text_without_odd_bytes_is_not_copied():
    text = bytearray("é,1\n".encode() * 100)
    made, marks = marked(text)
    assert made is text
    assert not marks


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a"])).map(b"".join), st.integers(2, 5))
def test_no_block_ends_within_a_line_end(content: bytes, size: int):
    file = WholeLineEnds(io.BytesIO(content))
    blocks = list(iter(lambda: file.read(size), b""))
    assert b"".join(blocks) == content
    for block, after in pairwise(blocks):
        assert not (block.endswith(b"\r") and after.startswith(b"\n"))


@given(st.text(), st.sampled_from(["utf-16", "utf-8", "utf-7", "gb18030"]), st.integers(1, 9))
def test_a_file_of_another_encoding_in_pieces(text: str, encoding: str, size: int):
    file = Utf8File(io.BytesIO(text.encode(encoding)), encoding, size, {"\0": "N"})
    made = b"".join(iter(lambda: file.read(size), b""))
    assert made.decode() == text.replace("\0", "N")


_PIECES = [b"a", b"\n", b"\0", "é".encode(), "€".encode(), "😀".encode(), b"\xe9", b"\x80"]


@given(st.lists(st.sampled_from(_PIECES)).map(b"".join), st.integers(1, 9))
def test_a_file_is_plain_where_all_of_it_is(content: bytes, size: int):
    assert is_plain_file(io.BytesIO(content), size) == is_plain(content)


def test_no_more_than_a_block_of_a_file_without_line_feeds_is_looked_at_at_once(
    monkeypatch: pytest.MonkeyPatch,
):
    looked_at: list[int] = []

    def looking(text: bytes) -> bool:
        looked_at.append(len(text))
        return is_plain(text)

    monkeypatch.setattr(csv_text, "is_plain", looking)
    assert is_plain_file(io.BytesIO("a,é\r".encode() * 1000), 64)
    assert len(looked_at) > 50
    assert max(looked_at) <= 64 + 4
