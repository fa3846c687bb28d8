"""Blocks that are parsed side by side give the rows of Arrow's own reader, or say they cannot."""

from __future__ import annotations

import csv as python_csv
import io
from functools import partial
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pyarrow import csv

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.csv_blocks import UncutError, read_blocks, row_end
from pipeline.ingest.read_csv import Lengths, options_of

BLOCK_BYTES = 64
FIELDS = st.text(st.sampled_from('ab1,"\n é'), max_size=9)
TEXTS = {"dtypes": {"a": "string", "b": "string"}}


def in_blocks(content: bytes, size: int = BLOCK_BYTES, **how: Any) -> tuple[pa.Table, int]:
    """The rows, and how many were left out."""
    lengths = Lengths(quoted=False)
    types = {name: pa.string() for name in how.get("dtypes", {})}
    options = partial(options_of, ReadConfig(**how), how.get("delimiter", ","), types=types)
    with read_blocks(pa.BufferReader(content), size, options, lengths.add) as (schema, tables):
        return pa.concat_tables([schema.empty_table(), *tables]), lengths.count


def by_arrow(content: bytes) -> tuple[pa.Table, int]:
    """The same of Arrow's reader of whole files."""
    lengths = Lengths(quoted=False)
    types = {name: pa.string() for name in TEXTS["dtypes"]}
    return csv.read_csv(
        pa.BufferReader(content), **options_of(ReadConfig(), ",", lengths, types)
    ), lengths.count


def written(rows: list[tuple[str, str]], **options: Any) -> bytes:
    """Rows of two columns of text as Python writes them."""
    out = io.StringIO()
    python_csv.writer(out, **options).writerows([("a", "b"), *rows])
    return out.getvalue().encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), max_size=20), st.sampled_from(["\n", "\r\n"]))
@example([("x", "a,b\n" * 10), ("y", "z")] * 3, "\n")
def test_a_file_that_keeps_to_the_rules_is_cut(rows: list[tuple[str, str]], ends: str):
    content = written(rows, lineterminator=ends)
    made, expected = in_blocks(content, **TEXTS), by_arrow(content)
    assert made[0].to_pylist() == expected[0].to_pylist()
    assert made[1] == expected[1] == 0


@settings(max_examples=500, deadline=None)
@given(st.text(st.sampled_from('ab1,,"\n\n\r\0\ufeff'), max_size=200))
@example('5",x\n"' + "a\n" * 40 + '",y\n1,2\n')
@example('1,"never closed\n' + "a,b\n" * 40)
@example("a\0,b\n" * 20)
def test_any_other_file_gives_the_same_rows_or_is_refused(text: str):
    content = f"a,b\n1,2\n{text}".encode()
    try:
        made = in_blocks(content, **TEXTS)
    except UncutError:
        return
    expected = by_arrow(content)
    assert made[0].to_pylist() == expected[0].to_pylist()
    assert made[1] == expected[1]


def test_a_quote_within_a_value_is_refused():
    with pytest.raises(UncutError):
        in_blocks(b'a,b\n5",x\n' + b'"a\nb",c\n' * 20, **TEXTS)


def test_a_quote_in_each_row_but_the_first_costs_no_more_than_reading():
    row = b'1,"a b"\n'
    block = b'1,5" pipe,"a"\n' + row * ((16 << 20) // len(row))
    assert row_end(block) == 0  # counted anew for each row, this would take an hour


def test_what_follows_a_wrong_cut_is_not_counted():
    """Later blocks are parsed before the one that is cut within a value is found out."""
    content = b"a,b\n" + b"1,2\n" * 40 + b'5",x\n"' + b"p\n" * 400 + b'",y\n'
    lengths = Lengths(quoted=False)
    types = {name: pa.string() for name in TEXTS["dtypes"]}
    options = partial(options_of, ReadConfig(), ",", types=types)
    with (
        pytest.raises(UncutError),
        read_blocks(pa.BufferReader(content), BLOCK_BYTES, options, lengths.add) as (_, tables),
    ):
        for _ in tables:
            assert lengths.count == 0


@pytest.mark.parametrize("begin", ["\n", "\r\n\r\n", "\r", "\ufeff", "\ufeff\n\n", "\ufeff\ufeff"])
def test_the_header_after_blank_lines_and_marks_is_no_row(begin: str):
    content = (begin + "a,b\n" + "1,2\n" * 40).encode()
    expected = csv.read_csv(pa.BufferReader(content))
    assert in_blocks(content)[0].equals(expected)


def test_a_mark_at_the_begin_of_a_later_block_is_kept():
    content = b"a,b\n" + b"1,23\n" * 12 + "\ufeffx,2\n".encode() + b"1,23\n" * 12
    assert row_end(content[:BLOCK_BYTES]) == BLOCK_BYTES
    made, expected = in_blocks(content, **TEXTS), by_arrow(content)
    assert made[0].to_pylist() == expected[0].to_pylist()


def test_a_row_longer_than_a_block_is_refused():
    with pytest.raises(UncutError):
        in_blocks(b"a,b\n1," + b"x" * BLOCK_BYTES + b"\n1,2\n")


def test_nul_stays_where_it_is_in_every_block():
    mark = chr(0xF0000)  # what stands for a NUL, unless a block has it already
    words = [("a long value\0", mark, f"a longer value{mark}\0")[i % 3] for i in range(60)]
    rows = "".join(f'{i},"{word}",x\n' for i, word in enumerate(words))
    table, dropped = in_blocks(f"a,b\0,c\n{rows}".encode())
    assert table["a"].to_pylist() == list(range(60))
    assert table["b\0"].to_pylist() == words
    assert set(table["c"].to_pylist()) == {"x"}
    assert not dropped


def test_rows_of_other_lengths_are_counted_in_every_block():
    rows = [f"{i},x" + ",y" * (i % 3 == 0) for i in range(100)]
    table, dropped = in_blocks(("a,b\n" + "\n".join(rows)).encode())
    assert table["a"].to_pylist() == [i for i in range(100) if i % 3]
    assert dropped == 34


def test_types_of_the_first_block_hold_for_all():
    content = b"a,b\n" + b"1,2024-02-29\n" * 40
    assert in_blocks(content)[0].schema.types == [pa.int64(), pa.date32()]
    with pytest.raises(pa.ArrowInvalid, match="In CSV column #0"):
        in_blocks(content + b"one,2024-02-29\n")


def test_another_delimiter_and_packed_files_that_hand_out_little():
    class Packed(io.BytesIO):
        def readinto(self, room: Any) -> int:
            return super().readinto(room[:5])

    content = "a;b\n" + "".join(f'{i};"x;\n{i}"\n' for i in range(50))
    options = partial(options_of, ReadConfig(), ";", types={})
    read = read_blocks(Packed(content.encode()), BLOCK_BYTES, options, lambda _: None)
    with read as (_, tables):
        rows = pa.concat_tables(tables).to_pylist()
    assert rows == [{"a": i, "b": f"x;\n{i}"} for i in range(50)]


def test_the_end_of_the_last_row():
    assert row_end(b"a,b\n1,2") == 4
    assert row_end(b'a\n"x\ny') == 2
    assert row_end(b'a\n"x\ny"\nz') == 8
    assert row_end(b'"a ""b""\nc') == 0
