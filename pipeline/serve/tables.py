"""The tables of `pipeline predict`: read from a file or standard input, written whole or not."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import pandas as pd
import pyarrow as pa
from pyarrow import csv, json, parquet

from pipeline.core.errors import DataError, PipelineError, UsageError
from pipeline.core.parquet import as_frame
from pipeline.core.publishing import publish_file

Format = Literal["csv", "tsv", "jsonl", "parquet"]

_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
STANDARD = "-"
"""Stands for standard input or output."""
MISSING_WORDS = ("", "#N/A", "N/A", "n/a", "NA", "<NA>", "NaN", "nan", "NULL", "null", "None")
"""Words of CSV and TSV that mean a missing value, as `ingest` reads them."""


@dataclass(frozen=True)
class Reading:
    """How text becomes a table; should be as the training table was read.

    Attributes:
        text_columns: Columns whose values are words, even where all look like numbers.
        delimiter: Between two fields of CSV; None: comma, for TSV tab.
        encoding: Of CSV, TSV and JSONL.
        missing: Further words that mean a missing value.
    """

    text_columns: Collection[str] = ()
    delimiter: str | None = None
    encoding: str = "utf-8"
    missing: tuple[str, ...] = ()


def read_rows(source: str, reading: Reading) -> pd.DataFrame:
    """Reads a table.

    Args:
        source: A CSV, TSV, JSONL or Parquet file, text also compressed; `-`: CSV from standard
            input.
        reading: How text is read.

    Raises:
        UsageError: There is no such file, or its name does not tell the format.
        DataError: It is empty, damaged, or not of its format.
    """
    kind = _format(source)
    try:
        frame = _read(kind, source, reading)
    except (pa.ArrowException, ValueError, EOFError) as error:
        raise DataError(
            f"{_called(source)} cannot be read as {kind}: {str(error).splitlines()[0]}",
            expected=f"{kind} in {reading.encoding}",
            remedy="open it and compare; rename it where its ending is wrong",
        ) from error
    except OSError as error:
        raise UsageError(
            f"{_called(source)} cannot be read: {error.strerror or error}",
            remedy="give --input a file that exists, or - for standard input",
        ) from error
    if frame.empty:
        raise DataError(f"{_called(source)} has no rows", "at least one row", "fill the file")
    return frame


def _format(name: str) -> Format:
    if name == STANDARD:
        return "csv"
    endings = [ending.lower() for ending in Path(name).suffixes]
    if endings and endings[-1] in _COMPRESSIONS:
        endings.pop()
    kind = _FORMATS.get(endings[-1]) if endings else None
    if kind is None:
        raise UsageError(
            f"the name of {name} does not say which format it has",
            expected="an ending out of " + ", ".join(_FORMATS),
        )
    return kind


def _called(source: str) -> str:
    return "standard input" if source == STANDARD else source


def _read(kind: Format, source: str, reading: Reading) -> pd.DataFrame:
    if kind == "parquet":
        return as_frame(parquet.read_table(source))
    with _opened(source) as file:
        if kind == "jsonl":
            return _read_jsonl(file, reading)
        return _read_csv(file, "\t" if kind == "tsv" else ",", reading)


def _opened(source: str) -> IO[bytes] | pa.NativeFile:
    return sys.stdin.buffer if source == STANDARD else pa.input_stream(source)


def _read_csv(file: IO[bytes] | pa.NativeFile, delimiter: str, reading: Reading) -> pd.DataFrame:
    # Arrow, because `ingest` reads with it: both guess the same types from the same text.
    table = csv.read_csv(
        file,
        read_options=csv.ReadOptions(encoding=reading.encoding),
        parse_options=csv.ParseOptions(
            delimiter=reading.delimiter or delimiter, newlines_in_values=True
        ),
        convert_options=csv.ConvertOptions(
            column_types=dict.fromkeys(reading.text_columns, pa.string()),
            null_values=[*MISSING_WORDS, *reading.missing],
            strings_can_be_null=True,
        ),
    )
    return as_frame(table)


def _read_jsonl(file: IO[bytes] | pa.NativeFile, reading: Reading) -> pd.DataFrame:
    text = file.read().decode(reading.encoding).removeprefix("\ufeff").encode()
    if not text.strip():
        raise ValueError("it is empty")
    # One block, so that a type is not guessed from the first rows alone.
    options = json.ReadOptions(block_size=len(text))
    return as_frame(json.read_json(pa.BufferReader(text), options))


def write_rows(frame: pd.DataFrame, target: str | None) -> None:
    """Writes a table without its index.

    Args:
        frame: The table.
        target: A CSV, TSV, JSONL or Parquet file, published in one step; None or `-`: CSV on
            standard output.

    Raises:
        UsageError: The name does not tell the format.
        PipelineError: The file cannot be written.
    """
    if target is None or target == STANDARD:
        frame.to_csv(sys.stdout, index=False)
        return
    kind = check_target(target)
    try:
        with publish_file(Path(target)) as aside:
            _write(kind, frame, aside)
    except OSError as error:
        raise PipelineError(
            f"{target} cannot be written: {error.strerror or error}",
            remedy="choose another --output, or make room",
        ) from error


def check_target(target: str) -> Format:
    """The format of an output file, told before the first expensive second.

    Raises:
        UsageError: The name does not tell the format, or asks for compression.
    """
    if Path(target).suffix.lower() in _COMPRESSIONS:
        raise UsageError(f"{target}: compressed output is not written", "a plain or Parquet file")
    return _format(target)


def _write(kind: Format, frame: pd.DataFrame, path: Path) -> None:
    match kind:
        case "parquet":
            frame.to_parquet(path, index=False)
        case "jsonl":
            frame.to_json(path, orient="records", lines=True, force_ascii=False)
        case _:
            frame.to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
