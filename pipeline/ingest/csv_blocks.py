"""CSV in batches, its blocks parsed side by side.

Arrow's reader of batches parses on one thread. Blocks that end where a row does can be parsed by
several, and where a row ends is told by counting quotes, as RFC 4180 has them. For files that do
not keep to it each block ends with a row of one field too many: if Arrow says so of it, the block
ended outside of quotes, where the next begins.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from pipeline.ingest.csv_marks import in_types_of, marked, restored

_MOST_THREADS = 8
"""Each holds a block and its rows, and the one who takes the rows is busy long before."""
_QUOTE = ord('"')
_END = "\x17the end of a block"
"""The first field of the row at the end of a block."""
_UNCUT = 1 << 30
"""A block size that leaves a block in one piece."""

OnBadRows = Callable[[int], None]
"""Told how many rows of a block are longer or shorter than the header."""
Options = Callable[..., dict[str, Any]]
"""Arrow's options for a CSV file: of whom to call for bad rows, by name the types of columns where
they are not those asked for, and options of reading."""


class UncutError(Exception):
    """The file is not to be read in blocks."""


@contextmanager
def read_blocks(
    file: Any, block_bytes: int, options: Options, on_bad_rows: OnBadRows
) -> Iterator[tuple[pa.Schema, Iterator[pa.Table]]]:
    """Names and types as Arrow guesses them from the first block, and the rows block by block.

    Args:
        file: The open file, binary, in UTF-8.
        block_bytes: Size of a block, and the most that a row may have.
        options: Makes the options of a block.
        on_bad_rows: Called before the block's other rows are handed out.

    Raises:
        UncutError: Quotes stand within values, or a row is longer than a block; also while rows
            are taken.
        pyarrow.ArrowException: As by `pyarrow.csv.open_csv`; also while rows are taken.
    """
    blocks = _blocks(file, block_bytes)
    first = next(blocks, bytearray())
    text, marks = marked(bytes(first))
    guessing = options(lambda _: "skip", block_size=_UNCUT)
    with csv.open_csv(pa.BufferReader(text), **guessing) as reader:
        schema = restored(first_rows(reader), marks).schema
    # Blank lines are no rows, but where the header is skipped Arrow counts them.
    first = first.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    parse = partial(_parse, schema=schema, options=options)
    with closing(_side_by_side(parse, chain([first], blocks), on_bad_rows)) as tables:
        yield schema, tables


def first_rows(reader: csv.CSVStreamingReader) -> pa.Table:
    """The rows of the first block, none where there is only a header."""
    return pa.Table.from_batches(islice(reader, 1), reader.schema)


def _blocks(file: Any, block_bytes: int) -> Iterator[bytearray]:
    """The file in blocks of whole rows."""
    rest = b""
    while True:
        block = bytearray(block_bytes)
        block[: len(rest)] = rest
        size = len(rest) + _fill(file, memoryview(block)[len(rest) :])
        if size == len(rest):
            break
        del block[size:]
        end = row_end(block)
        if not end and size == block_bytes:
            raise UncutError
        rest = bytes(memoryview(block)[end:])
        del block[end:]
        if block:
            yield block
    if rest:
        yield bytearray(rest)


def _fill(file: Any, room: memoryview) -> int:
    """Reads the next bytes of a file, which hands out fewer at once where it is packed."""
    size = 0
    while more := file.readinto(room[size:]):
        size += more
    return size


def row_end(block: bytes | bytearray) -> int:
    """Where the last row ends that ends in a block, 0 where none does.

    Quotes come in pairs, one that is doubled within a value being the end of a pair and the begin
    of the next (RFC 4180, 2.7); what ends a row stands between pairs.

    Args:
        block: Begins with a row.
    """
    end = block.rfind(b"\n") + 1
    quotes = np.count_nonzero(np.frombuffer(block, np.uint8, end) == _QUOTE)
    while quotes % 2:
        before = block.rfind(b"\n", 0, block.rfind(_QUOTE, 0, end)) + 1
        quotes -= block.count(_QUOTE, before, end)
        end = before
    return end


def _parse(
    block: bytearray, header_rows: int, schema: pa.Schema, options: Options
) -> tuple[pa.Table, int]:
    """The rows of a block, and how many are longer or shorter than the header; on any thread."""
    ended, bad_rows = False, 0

    def on_row(row: Any) -> str:
        nonlocal ended, bad_rows
        ended = row.text.startswith(_END)
        bad_rows += not ended
        return "skip"

    made = options(
        on_row,
        types=dict(zip(schema.names, schema.types, strict=True)),
        column_names=schema.names,
        skip_rows_after_names=header_rows,
        block_size=_UNCUT,
        use_threads=False,
    )
    block, marks = marked(block)
    if block.startswith(codecs.BOM_UTF8):
        block[:0] = codecs.BOM_UTF8  # of each block Arrow leaves one out
    has_end = block.endswith(b"\n")
    if has_end:
        block += (_END + made["parse_options"].delimiter * len(schema) + "\n").encode()
    table = csv.read_csv(pa.BufferReader(block), **made)
    if has_end and not ended:
        raise UncutError
    return in_types_of(schema, restored(table, marks)), bad_rows


def _side_by_side(
    parse: Callable[[bytearray, int], tuple[pa.Table, int]],
    blocks: Iterable[bytearray],
    on_bad_rows: OnBadRows,
) -> Generator[pa.Table]:
    """The rows of each block, in their order."""

    def rows_of(parsed: Future[tuple[pa.Table, int]]) -> pa.Table:
        # Not as it is parsed: if the block before it does not end where a row does, all is void.
        rows, bad_rows = parsed.result()
        on_bad_rows(bad_rows)
        return rows

    threads = min(pa.cpu_count(), _MOST_THREADS)
    waiting: deque[Future[tuple[pa.Table, int]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for place, block in enumerate(blocks):
                waiting.append(pool.submit(parse, block, int(place == 0)))
                if len(waiting) > threads:
                    yield rows_of(waiting.popleft())
            while waiting:
                yield rows_of(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)
