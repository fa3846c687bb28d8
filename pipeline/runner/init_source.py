"""Reads a person's table as `ingest` will, and finds out how that has to be done."""

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

from pipeline.core.errors import DataError, UsageError, nearest

_COMPRESSIONS = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zip": "zip",
    ".zst": "zstd",
}
_FORMATS = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_NAMED_PLAINLY = (".csv", ".tsv", ".parquet", ".jsonl")
_ENCODINGS = ("utf-8", "cp1252", "latin-1")
_DELIMITERS = ",;\t|"
_SNIFFED_LINES = 50
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Source:
    """A table and how to read it.

    Attributes:
        frame: All rows, in the dtypes that pandas gives them.
        options: Keys of `data.source` beside `kind` and `path`.
        text_file: Whether it is CSV or TSV, whose types are guesses.
        zero_led: Columns whose numbers begin with a zero in the file.
    """

    frame: pd.DataFrame
    options: Mapping[str, Any]
    text_file: bool
    zero_led: frozenset[str]


def read_source(path: str) -> Source:
    """Reads a CSV, TSV, Parquet or JSONL file, compressed or not.

    Raises:
        UsageError: There is no such file, or its name does not tell the format.
        DataError: It is empty or cannot be read.
    """
    _require_file(path)
    file_format, options = _format(path)
    try:
        if file_format == "parquet":
            frame, zero_led = pd.read_parquet(path), frozenset[str]()
        elif file_format == "jsonl":
            frame, zero_led = _read_jsonl(path), frozenset[str]()
        else:
            frame, zero_led = _read_text(path, file_format, options)
    except (ValueError, OSError, EOFError, RuntimeError, ImportError) as error:
        raise DataError(
            f"{path} cannot be read as {file_format}: {str(error).splitlines()[0]}",
            expected="CSV, TSV, Parquet or JSONL, as its name says",
            remedy="open it and compare; rename it where its ending is wrong",
        ) from error
    if frame.empty:
        raise DataError(
            f"{path} has no rows", expected="a table with a header and rows", remedy="fill it"
        )
    frame.columns = [str(name) for name in frame.columns]
    return Source(frame, options, file_format in {"csv", "tsv"}, zero_led)


def _require_file(path: str) -> None:
    if "://" in path or Path(path).is_file():
        return
    folder = Path(path).parent
    names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
    near = nearest(Path(path).name, names)
    raise UsageError(
        f"there is no file {path}",
        expected="a CSV, TSV, Parquet or JSONL file",
        remedy=f"did you mean {' or '.join(str(folder / name) for name in near)}?" if near else "",
    )


def _format(path: str) -> tuple[str, dict[str, Any]]:
    """The format by the file's name, and the options that say what the name does not."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    suffix = suffixes[-1] if suffixes else ""
    if suffix not in _FORMATS:
        raise UsageError(
            f"the name {Path(path).name} does not say what the file is",
            expected="an ending " + ", ".join(_FORMATS) + "; then " + ", ".join(_COMPRESSIONS),
            remedy="rename the file",
        )
    named = _FORMATS[suffix]
    return named, {} if suffix in _NAMED_PLAINLY else {"format": named}


def _read_jsonl(path: str) -> pd.DataFrame:
    frame: pd.DataFrame = pd.read_json(path, lines=True, dtype=False)
    return frame


def _read_text(
    path: str, file_format: str, options: dict[str, Any]
) -> tuple[pd.DataFrame, frozenset[str]]:
    """Reads CSV or TSV; adds encoding and delimiter to `options` where they are unusual."""
    head, encoding = _head(path)
    usual = "," if file_format == "csv" else "\t"
    delimiter = _delimiter(head, usual)
    if encoding != "utf-8":
        options["encoding"] = encoding
    if delimiter != usual:
        options["delimiter"] = delimiter
    settings: dict[str, Any] = {"sep": delimiter, "encoding": encoding, "low_memory": False}
    frame = pd.read_csv(path, **settings)
    whole = [name for name in frame.columns if pd.api.types.is_numeric_dtype(frame[name].dtype)]
    texts = pd.read_csv(path, dtype="str", usecols=whole, **settings) if whole else frame[[]]
    led = [str(name) for name in whole if texts[name].str.match(r"0\d").any()]
    return frame, frozenset(led)


def _head(path: str) -> tuple[str, str]:
    """The beginning of the text, and the first encoding that reads the whole file."""
    for encoding in _ENCODINGS:
        try:
            head = _decoded_head(path, encoding)
        except UnicodeDecodeError:
            continue
        if not head.strip():
            raise DataError(f"{path} is empty", expected="a header and rows", remedy="fill it")
        return head.removeprefix("\ufeff"), encoding
    raise DataError(f"{path} is no text", expected="CSV or TSV", remedy="check the file")


def _decoded_head(path: str, encoding: str) -> str:
    """The first block as text; every other block is decoded and thrown away."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with fsspec.open(path, "rb", compression="infer") as file:
        head = decoder.decode(file.read(_BLOCK_BYTES))
        while block := file.read(_BLOCK_BYTES):
            decoder.decode(block)
    decoder.decode(b"", final=True)
    return head


def _delimiter(head: str, usual: str) -> str:
    """The delimiter that gives the most lines the same number of fields, more than one."""
    lines = head.splitlines()[:_SNIFFED_LINES]
    best, most = usual, 0
    for delimiter in usual + _DELIMITERS:
        counts = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter))
        fields, agreeing = counts.most_common(1)[0] if counts else (1, 0)
        if fields > 1 and agreeing > most:
            best, most = delimiter, agreeing
    return best
