"""Reads a person's table exactly as `ingest` will, and finds out how that has to be done."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd

from pipeline.ingest.config import FileSource
from pipeline.ingest.locate import LocalFile, local_file
from pipeline.ingest.read import file_kind, read_table

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
        frame: All rows, in the types `ingest` gives them.
        options: Keys of `data.source` beside `kind` and `path`.
        text_file: Whether it is CSV or TSV, whose types are guessed from text.
        zero_led: Columns of whole numbers that begin with a zero in the file.
    """

    frame: pd.DataFrame
    options: Mapping[str, Any]
    text_file: bool
    zero_led: frozenset[str]


def read_source(path: str, root: Path) -> SourceTable:
    """Reads a CSV, TSV, Parquet or JSONL file, compressed or not, local or remote.

    Args:
        path: As it will stand in the config.
        root: The project folder, which relative paths start from.

    Raises:
        DataError: There is no such file, its name does not tell the format, or it is damaged or
            empty.
    """
    with local_file(FileSource(kind="file", path=path), root) as file:
        kind, _ = file_kind(file.path.name, file.uri, FileSource(kind="file", path=path))
        text_file = kind in _USUAL_DELIMITER
        options = _text_options(file, kind) if text_file else {}
        frame = _read(file, path, options)
        zero_led = _zero_led(file, path, options, frame) if text_file else frozenset[str]()
    return SourceTable(frame, options, text_file, zero_led)


def _read(file: LocalFile, path: str, options: Mapping[str, Any]) -> pd.DataFrame:
    source = FileSource(kind="file", path=path, **options)
    frame: pd.DataFrame = read_table(file.path, file.uri, source).to_pandas()
    return frame


def _zero_led(
    file: LocalFile, path: str, options: Mapping[str, Any], frame: pd.DataFrame
) -> frozenset[str]:
    """Columns read as whole numbers whose text has leading zeros, such as postcodes."""
    whole = [str(name) for name in frame if pd.api.types.is_integer_dtype(frame[name].dtype)]
    if not whole:
        return frozenset()
    as_text = {"columns": tuple(whole), "dtypes": dict.fromkeys(whole, "string")}
    texts = _read(file, path, {**options, **as_text})
    return frozenset(name for name in whole if texts[name].str.match(r"\s*0\d").any())


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
