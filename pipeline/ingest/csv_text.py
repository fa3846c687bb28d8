"""The text of a CSV file as Arrow's reader is to be given it."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Any

from pipeline.ingest.csv_marks import Marks, is_plain, with_marks
from pipeline.ingest.read_text import is_utf8, mark_broken


def texts(file: Any, encoding: str, block_bytes: int) -> Iterator[str]:
    """A file's text piece by piece.

    A byte that is not of the encoding is as `surrogateescape` has it in UTF-8, elsewhere `BROKEN`.
    """
    mark_broken()
    errors = "surrogateescape" if is_utf8(encoding) else "marked"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    while raw := file.read(block_bytes):
        yield decoder.decode(raw)
    yield decoder.decode(b"", final=True)


def is_plain_file(file: Any, block_bytes: int) -> bool:
    """Whether all of a file is UTF-8 and nothing in it a NUL."""
    rest = b""
    while more := file.read(block_bytes):
        block = rest + more
        last = _last_character(block)
        if not is_plain(block[:last]):
            return False
        rest = block[last:]
    return is_plain(rest)


def _last_character(block: bytes) -> int:
    """Where the last character begins, which may go on in the next block; the end where none does.

    In UTF-8 it has four bytes at most, and 0b10 at the top of all but the first (RFC 3629, 3).
    """
    places = range(len(block) - 1, max(len(block) - 5, -1), -1)
    return next((place for place in places if block[place] >> 6 != 0b10), len(block))


class Utf8File(io.RawIOBase):
    """A file of another encoding in UTF-8, but for a byte that is none wherever it is broken.

    Args:
        file: The open file, binary.
        encoding: Its encoding.
        block_bytes: So much is read and decoded at a time.
        marks: What is to stand for odd characters.
    """

    def __init__(self, file: Any, encoding: str, block_bytes: int, marks: Marks) -> None:
        self._texts = texts(file, encoding, block_bytes)
        self._marks = marks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, room: Any) -> int:
        """Fills what room there is, or less of it; nothing at the end."""
        while not self._rest and (text := next(self._texts, None)) is not None:
            made = with_marks(text, self._marks).encode("utf-8", "surrogateescape")
            self._rest = memoryview(made)
        size = min(len(room), len(self._rest))
        room[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class WholeLineEnds(io.RawIOBase):
    """A file that hands out CR and LF together, never as the end of one block and the next's begin.

    Of a quoted CRLF that is divided so, Arrow loses the second character:
    https://github.com/apache/arrow/issues/51368.

    Args:
        file: The open file, binary.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._next = b""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """About so many bytes, all where negative; none at the end."""
        more = size if size < 0 else max(size - len(self._next), 0)
        block: bytes = self._next + self._file.read(more)
        self._next = self._file.read(1) if block.endswith(b"\r") else b""
        if self._next == b"\n" and len(block) > 1:
            block, self._next = block[:-1], b"\r\n"
        elif self._next == b"\n":
            block, self._next = b"\r\n", b""
        return block
