"""Reads a file of any known format and compression into an Arrow table, strictly."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import parquet

from pipeline.core.errors import DataError, nearest
from pipeline.ingest.config import Compression, Format, ReadConfig
from pipeline.ingest.read_csv import counting, read_csv, types_asked_for, without_odd_years
from pipeline.ingest.read_jsonl import JsonLines
from pipeline.ingest.read_text import as_bytes, decoded, unchecked, without_words

_COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zip": "zip",
    ".zst": "zstd",
}
_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_WRITE_ANEW = {
    **dict.fromkeys((".xls", ".xlsx", ".xlsm", ".ods"), "save the sheet as CSV"),
    ".json": "write one object a line, as .jsonl; if it is so already, set format to jsonl",
}
"""What to do with formats that cannot be read."""
_LONG_ROW = re.compile("straddl|Empty CSV file or block")
"""What Arrow says of a row, and of a header, that is longer than its block."""
_EMPTY = re.compile("(CSV parse error: )?Empty ")
UNREADABLE = (
    pa.ArrowException,
    ValueError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
    RuntimeError,
)


class EmptyTableError(DataError):
    """The file has no row."""


def read_table(path: Path, uri: str, how: ReadConfig, *, strict: bool = True) -> pa.Table:
    """Reads a table.

    Args:
        path: The file.
        uri: What people call it.
        how: Format, compression and options.
        strict: Whether a column that `dtypes` names has to be there.

    Returns:
        The columns asked for, in their order in the file; text columns are strings.

    Raises:
        DataError: The file is empty, has no rows, is damaged or not of its format, holds text of
            another encoding, names a column twice, or lacks a column asked for.
    """
    kind, compression = file_kind(path.name, uri, how)
    with explained(uri, kind, how):
        table = _whole(path, kind, compression, how)
    return checked(table, uri, how if strict else of_columns(how, table.column_names))


def of_columns(how: ReadConfig, names: Collection[str]) -> ReadConfig:
    """What `how` says of these columns alone."""
    dtypes = {name: kind for name, kind in how.dtypes.items() if name in names}
    return replace(how, dtypes=dtypes, pii={n: way for n, way in how.pii.items() if n in names})


@contextmanager
def explained(uri: str, kind: Format, how: ReadConfig) -> Iterator[None]:
    """Raises a DataError in place of what readers raise of a file."""
    try:
        yield
    except UNREADABLE as error:
        raise _unreadable(uri, kind, error, how) from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise _unreadable(uri, kind, error, how) from None


def _whole(path: Path, kind: Format, compression: Compression, how: ReadConfig) -> pa.Table:
    if kind == "jsonl":
        lines = JsonLines(partial(opened, path, compression), how)
        table = pa.concat_tables(lines.tables())
        return counting(table, dropped=lines.dropped, broken=lines.broken)
    try:
        with opened(path, compression) as file:
            return _READERS[kind](file, how)
    except pa.ArrowInvalid as error:
        if kind not in {"csv", "tsv"} or not _LONG_ROW.search(str(error)):
            raise
    # Opened anew: Arrow's threads may still be reading from the first one.
    with opened(path, compression) as file:
        return read_csv(file, how, "\t" if kind == "tsv" else ",", long_rows=True)


def file_kind(name: str, uri: str, how: ReadConfig) -> tuple[Format, Compression]:
    """Format and compression, by the options or else by the endings of the file's name.

    Raises:
        DataError: Neither says which format it is.
    """
    endings = [ending.lower() for ending in Path(name).suffixes]
    compression = _COMPRESSIONS.get(endings[-1]) if endings else None
    if compression is not None:
        endings.pop()
    if how.compression != "auto":
        compression = how.compression
    kind = _FORMATS.get(endings[-1]) if endings else None
    if how.format != "auto":
        kind = how.format
    if kind is None:
        ending = endings[-1] if endings else ""
        raise DataError(
            f"the name of {uri} does not say which format it has",
            expected="an ending out of " + ", ".join(_FORMATS),
            remedy=_WRITE_ANEW.get(ending, "set format in the source: csv, tsv, parquet or jsonl"),
        )
    return kind, compression or "none"


@contextmanager
def opened(path: Path, compression: Compression) -> Iterator[Any]:
    """The file's bytes, unpacked."""
    with _OPENERS[compression](path) as file:
        yield file


def _only_member(path: Path) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    # Archives made on a Mac carry a shadow of each file.
    members = [
        member
        for member in archive.infolist()
        if not member.is_dir() and not member.filename.startswith("__MACOSX/")
    ]
    if len(members) != 1:
        names = ", ".join(member.filename for member in members[:5])
        raise ValueError(f"the archive holds {len(members)} files, not one: {names}")
    return archive.open(members[0])


_OPENERS: dict[Compression, Callable[[Path], Any]] = {
    "none": lambda path: pa.OSFile(str(path)),
    "gzip": gzip.open,
    "bz2": bz2.open,
    "xz": lzma.open,
    "zstd": lambda path: pa.CompressedInputStream(pa.OSFile(str(path)), "zstd"),
    "zip": _only_member,
}


def _read_tsv(file: Any, how: ReadConfig) -> pa.Table:
    return read_csv(file, how, "\t")


def _read_parquet(file: Any, how: ReadConfig) -> pa.Table:
    seekable = file if isinstance(file, pa.OSFile) else pa.BufferReader(file.read())
    table = parquet.ParquetFile(seekable).read(columns=list(how.columns) or None)
    if names := unchecked(table):
        table, broken = decoded(as_bytes(table, names), how, names)
        table = counting(table, broken=broken)
    return without_odd_years(as_asked(table, how))


def as_asked(table: pa.Table, how: ReadConfig) -> pa.Table:
    """Rows of Parquet with the missing words and types that `how` asks for."""
    table = without_words(table, how.missing)
    for name, kind in types_asked_for(how).items():
        if name in table.column_names:
            place = table.column_names.index(name)
            table = table.set_column(place, name, table[name].cast(kind))
    return table


_READERS = {"csv": read_csv, "tsv": _read_tsv, "parquet": _read_parquet}


def checked(table: pa.Table, uri: str, how: ReadConfig) -> pa.Table:
    """The columns asked for; raises a DataError as `read_table` does."""
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{uri} names {len(twice)} columns more than once: {', '.join(map(repr, twice[:5]))}",
            expected="each column name once",
            remedy="rename the columns in the file"
            + (", and remove those without a name" if "" in twice else ""),
        )
    for name in (*how.columns, *how.dtypes):
        if name not in names:
            near = nearest(name, names)
            raise DataError(
                f"{uri} has no column '{name}'",
                expected=f"it among {', '.join(names[:40])}",
                remedy=f"did you mean {' or '.join(near)}?" if near else "correct the source",
            )
    if table.num_rows == 0:
        raise EmptyTableError(
            f"{uri} has a header but no rows", expected="at least one row", remedy="fill the file"
        )
    return table.select(list(how.columns)) if how.columns else table


def _unreadable(uri: str, kind: Format, error: Exception, how: ReadConfig) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    if how.pii and isinstance(error, pa.ArrowException):
        # Arrow quotes the value that it stumbled over.
        reason = f"{type(error).__name__} (not told in full: the source holds personal data)"
    if isinstance(error, UnicodeError):
        return _wrong_encoding(uri, reason, how)
    if _EMPTY.match(reason):
        why = ", or has no row below its header" if kind in {"csv", "tsv"} else ""
        if "no object" in reason:
            why = ": no object has a field"
        return EmptyTableError(
            f"{uri} is empty{why}",
            expected=f"a {kind} file with rows",
            remedy="bring a whole file",
        )
    return DataError(
        f"{uri} cannot be read as {kind}: {reason[:400]}",
        expected=f"a whole {kind} file"
        + (", each row as long as the header" if kind in {"csv", "tsv"} else ""),
        remedy="correct the file, or format, compression, delimiter, dtypes in its source",
    )


def _wrong_encoding(uri: str, where: str, how: ReadConfig) -> DataError:
    return DataError(
        f"{uri} holds text that is not {how.encoding} ({where[:200]})",
        expected=f"text encoded as {how.encoding}",
        remedy="set encoding in the source, e.g. cp1252 for files from Windows; where single "
        "values are broken, bad_text=drop leaves their rows out and null makes them missing",
    )
