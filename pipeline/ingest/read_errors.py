"""What readers raise of a file, as errors that say what to do."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.core.errors import DataError
from pipeline.ingest.config import Format, ReadConfig

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
