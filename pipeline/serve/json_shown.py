"""JSON values in messages, as RapidJSON's PrettyWriter shows them, with a limit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from typing import Any

_SHOWN_BYTES = 256
"""Once so many bytes are written, no further value is begun."""
_LONGEST_TEXT = 2**16
_CONTROLS = re.compile(r"\\u[0-9a-f]{4}")


class _EndError(Exception):
    """RapidJSON's writer stops at what is no number."""


def shown(value: Any) -> str:
    """A value in a message: indented objects, arrays on one line, cut after 256 bytes."""
    pieces: list[str] = []
    size = 0
    try:
        for piece in _pieces(value, "", 0):
            if size >= _SHOWN_BYTES:
                break
            pieces.append(piece)
            size += len(piece.encode())
    except _EndError as error:
        if size < _SHOWN_BYTES:
            pieces.append(str(error))
    return "".join(pieces)


def _pieces(value: Any, prefix: str, depth: int) -> Iterator[str]:
    """What the writer is told one after the other; a prefix belongs to what it stands before."""
    if depth > _SHOWN_BYTES:
        return  # each level takes a byte: what is deeper is cut anyway
    if isinstance(value, dict):
        yield f"{prefix}{{"
        yield from _members(value, depth)
        yield f"{_indent(depth)}}}" if value else "}"
    elif isinstance(value, list):
        yield f"{prefix}["
        for position, item in enumerate(islice(value, _SHOWN_BYTES)):
            yield from _pieces(item, ", " if position else "", depth + 1)
        yield "]"
    elif isinstance(value, float) and not math.isfinite(value):
        raise _EndError(prefix)
    else:
        yield prefix + _scalar(value)


def _members(value: dict[str, Any], depth: int) -> Iterator[str]:
    for position, (key, item) in enumerate(islice(value.items(), _SHOWN_BYTES)):
        yield f"{',' if position else ''}{_indent(depth + 1)}{_text(key)}"
        yield from _pieces(item, ": ", depth + 1)


def _indent(depth: int) -> str:
    return "\n" + "    " * depth


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    return _number(value) if isinstance(value, float) else json.dumps(value)


def _text(value: str) -> str:
    clean = value[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
    quoted = json.dumps(clean, ensure_ascii=False)
    return _CONTROLS.sub(lambda escape: "\\u" + escape[0][2:].upper(), quoted)


def _number(value: float) -> str:
    """A double in as few digits as tell it apart, with a point or an exponent."""
    if value == 0:
        return str(value)
    sign, parts, exponent = Decimal(repr(value)).normalize().as_tuple()
    digits, power = "".join(map(str, parts)), int(exponent)
    point = len(digits) + power
    if power >= 0 and point <= 21:
        text = f"{digits}{'0' * power}.0"
    elif 0 < point <= 21:
        text = f"{digits[:point]}.{digits[point:]}"
    elif -6 < point <= 0:
        text = f"0.{'0' * -point}{digits}"
    else:
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        text = f"{digits[0]}{fraction}e{point - 1}"
    return f"-{text}" if sign else text


def type_name(value: Any) -> str:
    """RapidJSON's name for the type of a value."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float):
        return "Number"
    for kind, name in ((str, "String"), (list, "Array"), (dict, "Object")):
        if isinstance(value, kind):
            return name
    return "Null"
