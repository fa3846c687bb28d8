"""Which format and compression a file has, and its bytes unpacked."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from pipeline.core.errors import DataError
from pipeline.ingest.config import Compression, Format, ReadConfig

_COMPRESSIONS: dict[str, Compression] = {
    ".gz": "gzip",
    ".bz2": "bz2",
    ".xz": "xz",
    ".zip": "zip",
    ".zst": "zstd",
}
_SIGNATURES: dict[bytes, tuple[str, Compression]] = {
    b"\x1f\x8b\x08": (".gz", "gzip"),
    b"BZh91AY&SY": (".bz2", "bz2"),
    b"\xfd7zXZ\0": (".xz", "xz"),
    b"PK\x03\x04": (".zip", "zip"),
    b"\x28\xb5\x2f\xfd": (".zst", "zstd"),
}
"""How packed files begin, and no table does."""
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
    """The file's bytes, unpacked.

    Raises:
        ValueError: It is packed, though neither its name nor the options say so.
    """
    if compression == "none":
        _refuse_packed(path)
    with _OPENERS[compression](path) as file:
        yield file


def _refuse_packed(path: Path) -> None:
    with path.open("rb") as file:
        begins = file.read(max(map(len, _SIGNATURES)))
    for signature, (ending, compression) in _SIGNATURES.items():
        if begins.startswith(signature):
            raise ValueError(
                f"it is packed: end its name in {ending}, or set compression to {compression}"
            )


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
