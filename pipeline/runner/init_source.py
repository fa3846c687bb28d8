"""Brings a person's table exactly as `ingest` will, and finds out how that has to be done."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from pipeline.ingest.config import FileSource
from pipeline.ingest.file_format import file_kind
from pipeline.ingest.locate import LocalFile, local_file
from pipeline.ingest.rows import scratch_folder
from pipeline.ingest.stream import write_rows

_ENCODINGS = ("utf-8", "utf-16", "cp1252", "latin-1")
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_USUAL_DELIMITER = {"csv": ",", "tsv": "\t"}
_DELIMITERS = ",;\t|"
_SNIFFED_LINES = 50
_BLOCK_BYTES = 1 << 20
_LONG_LINE = 1 << 17
"""Longer lines take no part in the search for the delimiter; `csv` stops at such fields."""


@dataclass(frozen=True)
class SourceTable:
    """A table and how to read it.

    Attributes:
        path: Its rows as Parquet, in the types that `ingest` gives them.
        rows: How many there are.
        options: Keys of `data.source` beside `kind` and `path`.
        text_file: Whether it is CSV or TSV, whose types are guessed from text.
        zero_led: Columns of whole numbers that begin with a zero in the file.
    """

    path: Path
    rows: int
    options: Mapping[str, Any]
    text_file: bool
    zero_led: frozenset[str]

    @property
    def names(self) -> list[str]:
        """All columns."""
        names: list[str] = parquet.read_schema(self.path).names
        return names

    def column(self, name: str) -> pd.Series[Any]:
        """One column, in memory."""
        with parquet.ParquetFile(self.path) as file:
            values: pd.Series[Any] = file.read([name]).to_pandas()[name]
        return values


@contextmanager
def source_table(path: str, root: Path, *, whole_bytes: int) -> Iterator[SourceTable]:
    """Brings a CSV, TSV, Parquet or JSONL file, compressed or not, local or remote.

    Memory does not grow with its rows (see `ingest.stream`).

    Args:
        path: As it will stand in the config.
        root: The project folder, which relative paths start from.
        whole_bytes: A file that is not packed and not larger is read at once.

    Raises:
        DataError: There is no such file, its name does not tell the format, or it is damaged or
            empty.
    """
    source = FileSource(kind="file", path=path)
    with local_file(source, root) as file, scratch_folder(root) as folder:
        kind, _ = file_kind(file.path.name, file.uri, source)
        text_file = kind in _USUAL_DELIMITER
        options = _text_options(file, kind) if text_file else {}
        source = replace(source, **options)
        bring = partial(write_rows, file.path, file.uri, whole_bytes=whole_bytes)
        rows = bring(source, folder / "rows.parquet").rows
        table = SourceTable(folder / "rows.parquet", rows, options, text_file, frozenset())
        if text_file and (whole := _whole_numbers(table)):
            as_text = replace(source, columns=whole, dtypes=dict.fromkeys(whole, "string"))
            bring(as_text, folder / "text.parquet")
            table = replace(table, zero_led=_zero_led(folder / "text.parquet"))
        yield table


def _whole_numbers(table: SourceTable) -> tuple[str, ...]:
    schema = parquet.read_schema(table.path)
    return tuple(field.name for field in schema if pa.types.is_integer(field.type))


def _zero_led(path: Path) -> frozenset[str]:
    """Columns of digits some of which have leading zeros, such as postcodes."""
    found: set[str] = set()
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches():
            for name, words in zip(batch.schema.names, batch.columns, strict=True):
                if pc.any(pc.match_substring_regex(words, r"^\s*0\d")).as_py():
                    found.add(name)
    return frozenset(found)


def _text_options(file: LocalFile, kind: str) -> dict[str, Any]:
    """Encoding and delimiter, where they are not the usual ones."""
    head, encoding = _head(file)
    delimiter = _delimiter(head, _USUAL_DELIMITER[kind])
    options: dict[str, Any] = {}
    if encoding != "utf-8":
        options["encoding"] = encoding
    if delimiter != _USUAL_DELIMITER[kind]:
        options["delimiter"] = delimiter
    return options


def _head(file: LocalFile) -> tuple[str, str]:
    """The beginning of the text, and the first encoding that reads the whole file."""
    for encoding in _ENCODINGS:
        try:
            return _decoded_head(file, encoding).removeprefix("\ufeff"), encoding
        except UnicodeError:
            continue
        except (OSError, EOFError, ValueError):
            break  # a damaged archive: reading the table says it better
    return "", "utf-8"


def _decoded_head(file: LocalFile, encoding: str) -> str:
    """The first block as text; every other block is decoded and thrown away."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with fsspec.open(str(file.path), "rb", compression="infer") as stream:
        first = stream.read(_BLOCK_BYTES)
        if encoding == "utf-16" and not first.startswith(_MARKS):
            raise UnicodeError("nearly everything can be read as UTF-16")
        head = decoder.decode(first)
        while block := stream.read(_BLOCK_BYTES):
            decoder.decode(block)
    decoder.decode(b"", final=True)
    return head


def _delimiter(head: str, usual: str) -> str:
    """The delimiter that gives the most lines the same number of fields, more than one."""
    lines = [line for line in head.splitlines()[:_SNIFFED_LINES] if len(line) < _LONG_LINE]
    best, most = usual, 0
    for delimiter in usual + _DELIMITERS:
        counts = _field_counts(lines, delimiter)
        fields, agreeing = counts.most_common(1)[0] if counts else (1, 0)
        if fields > 1 and agreeing > most:
            best, most = delimiter, agreeing
    return best


def _field_counts(lines: list[str], delimiter: str) -> Counter[int]:
    """How many lines have how many fields; nothing where a quote that never ends swallows them."""
    try:
        return Counter(len(row) for row in csv.reader(lines, delimiter=delimiter))
    except csv.Error:
        return Counter()
