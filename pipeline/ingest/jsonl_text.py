"""The text of JSON lines in blocks of whole lines, with broken text by policy."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.ingest.config import ReadConfig
from pipeline.ingest.read_text import BROKEN, mark_broken, refuse_mark


@dataclass(frozen=True)
class Block:
    """Some whole lines.

    Attributes:
        text: The lines.
        first: The number of the first one in the file, from 1.
        broken: How many had text of another encoding.
    """

    text: str
    first: int
    broken: int = 0


def text_blocks(file: Any, how: ReadConfig, size: int) -> Iterator[Block]:
    """The lines of a file, some `size` bytes at a time.

    Args:
        file: The open file, binary.
        how: Encoding, and what happens with text that is of another one.
        size: Bytes that are read at once; a longer line is read as a whole.

    Raises:
        UnicodeError: Text is of another encoding, and `how` says to stop, or no value holds it.
    """
    first, held = 1, ""
    for text in _decoded(file, how, size):
        lines, newline, rest = text.rpartition("\n")
        if not newline:
            held += text
            continue
        block = held + lines
        yield _by_policy(block, first, how)
        first, held = first + block.count("\n") + 1, rest
    yield _by_policy(held, first, how)


def _decoded(file: Any, how: ReadConfig, size: int) -> Iterator[str]:
    mark_broken()
    errors = "strict" if how.bad_text == "error" else "marked"
    decoder = codecs.getincrementaldecoder(how.encoding)(errors)
    raw = file.read(size)
    refuse_mark(raw, how.encoding)
    newlines, begins = 0, True
    while True:
        newlines += raw.count(b"\n")
        try:
            text = decoder.decode(raw, final=not raw)
        except UnicodeDecodeError as error:
            line = newlines - error.object.count(b"\n", error.start) + 1
            raise UnicodeError(f"line {line:,}: byte 0x{error.object[error.start]:02x}") from None
        yield text.removeprefix("\ufeff") if begins else text
        begins = begins and not text
        if not raw:
            return
        raw = file.read(size)


def _by_policy(text: str, first: int, how: ReadConfig) -> Block:
    if BROKEN not in text:
        return Block(text, first)
    lines = text.split("\n")
    broken = sum(BROKEN in line for line in lines)
    if how.bad_text == "drop":
        lines = [line for line in lines if BROKEN not in line]
    else:
        lines = [
            _without_broken(line, number) if BROKEN in line else line
            for number, line in enumerate(lines, start=first)
        ]
    return Block("\n".join(lines), first, broken)


def _without_broken(line: str, number: int) -> str:
    """The line with null for each text that is broken."""
    try:
        return json.dumps(_cleared(json.loads(line)))
    except ValueError:
        raise UnicodeError(f"line {number:,}, and not within a value") from None


def _cleared(value: Any) -> Any:
    match value:
        case str() if BROKEN in value:
            return None
        case list():
            return [_cleared(one) for one in value]
        case dict():
            if any(BROKEN in name for name in value):
                raise ValueError("a broken name cannot be left out")
            return {name: _cleared(one) for name, one in value.items()}
    return value
