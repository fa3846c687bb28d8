"""Reading JSON text as the real server does (RapidJSON), and showing values in its messages.

RapidJSON takes what strict parsers refuse: NaN and Infinity, any depth of nesting, text after the
object, bytes that are no UTF-8. Strict text, nearly all there is, goes through orjson; the rest
through Python's own parser; what that refuses through the patient one below, which also finds
the words for an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.encoder import encode_basestring
from typing import Any

import orjson

from pipeline.serve.status import invalid

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "Inf": float("inf"),
    "-Infinity": float("-inf"),
    "-Inf": float("-inf"),
    "-NaN": float("nan"),
}
_PLAIN = json.JSONDecoder()
_FIRST_COUNTS = json.JSONDecoder(object_pairs_hook=lambda pairs: dict(reversed(pairs)))
_HUGE = re.compile(r"[eE]\+?0*[1-9][0-9]{2}|[0-9]{300}")
"""What may be a number beyond a double, which Python reads as infinite and RapidJSON refuses."""
_KEYS = tuple(
    f'"{key}"'.encode() for key in ("instances", "inputs", "signature_name", "examples", "context")
)
_SHOWN_BYTES = 256
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"


def parse(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        ServingError: INVALID_ARGUMENT: it is no JSON, or no object.
    """
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_loosely(body)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    if any(body.count(key) > 1 for key in _KEYS):
        return _first_values(body) or document
    return document


def _first_values(body: bytes) -> dict[str, Any] | None:
    """The document with the first value of each key; None where only `_Reader` can read it."""
    text = _text(body)
    try:
        document = _FIRST_COUNTS.raw_decode(text, _SPACE.match(text).end())[0]  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None  # and `_Reader` keeps the first
    return dict(document)


def _text(body: bytes) -> str:
    # Bytes that are no UTF-8 become lone surrogates here and the same bytes again in `encoded`.
    return body.decode("utf-8", "surrogateescape").removeprefix(_BOM)


def _parse_loosely(body: bytes) -> Any:
    text = _text(body)
    if _HUGE.search(text):
        return _Reader(text).value()
    try:
        return _PLAIN.raw_decode(text, _SPACE.match(text).end())[0]  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return _Reader(text).value()


def encoded(text: str) -> bytes:
    """The bytes of a JSON string.

    Raises:
        ServingError: INVALID_ARGUMENT: it holds half of a surrogate pair.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from None


class _Reader:
    """Reads one value without recursion; complains in RapidJSON's words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self) -> Any:
        if self._peek() == "":
            raise self._error("The document is empty.")
        open_ones: list[tuple[Any, str]] = []
        while True:
            begun, key = self._begin()
            if key is not None:
                open_ones.append((begun, key))
                continue
            while open_ones:
                container, key = open_ones.pop()
                _put(container, key, begun)
                if self._goes_on(container):
                    open_ones.append((container, self._key_of(container)))
                    break
                begun = container
            else:
                return begun

    def _begin(self) -> tuple[Any, str | None]:
        """A whole value and None; or a container that has members to come, and the first key."""
        bracket = self._peek()
        if bracket not in {"{", "["}:
            return self._scalar(), None
        self._at += 1
        container: Any = {} if bracket == "{" else []
        if self._peek() != ("}" if bracket == "{" else "]"):
            return container, self._key_of(container)
        self._at += 1
        return container, None

    def _key_of(self, container: Any) -> str:
        return "" if isinstance(container, list) else self._key()

    def _goes_on(self, container: Any) -> bool:
        mark = self._peek()
        closing = "]" if isinstance(container, list) else "}"
        if mark not in {",", closing}:
            where = "an array element" if closing == "]" else "an object member"
            raise self._error(f"Missing a comma or {closing} after {where}.")
        self._at += 1
        return mark == ","

    def _key(self) -> str:
        if self._peek() != '"':
            raise self._error("Missing a name for object member.")
        key = self._string()
        if self._peek() != ":":
            raise self._error("Missing a colon after a name of object member.")
        self._at += 1
        return key

    def _scalar(self) -> Any:
        if self._peek() == '"':
            return self._string()
        for word, value in _WORDS.items():
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return value
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._error("Invalid value.")
        whole = not (number[1] or number[2])
        # More digits than any 64-bit integer has are a double, as in RapidJSON.
        value = int(number[0]) if whole and len(number[0]) <= 20 else float(number[0])
        if value in {float("inf"), float("-inf")}:
            raise self._error("Number too big to be stored in double.")
        self._at = number.end()
        return value

    def _string(self) -> str:
        try:
            text: str
            text, self._at = scanstring(self._text, self._at + 1, True)  # noqa: FBT003
        except json.JSONDecodeError as error:
            self._at = error.pos
            raise self._error(
                _STRING_ERRORS.get(error.msg, "Invalid encoding in string.")
            ) from None
        return text

    def _peek(self) -> str:
        mark = self._text[self._at : self._at + 1]
        if mark not in " \t\r\n" or not mark:
            return mark
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._text[self._at : self._at + 1]

    def _error(self, what: str) -> Exception:
        offset = len(self._text[: self._at].encode("utf-8", "surrogateescape"))
        return invalid(f"JSON Parse error: {what} at offset: {offset}")


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, list):
        container.append(value)
    else:
        container.setdefault(key, value)


_STRING_ERRORS = {
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def shown(value: Any) -> str:
    """A value in a message: indented objects, arrays on one line, cut after 256 bytes."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(value):
        if size >= _SHOWN_BYTES:
            break
        pieces.append(piece)
        size += len(piece)
    return "".join(pieces)


def _pieces(value: Any, depth: int = 0) -> Iterator[str]:
    if depth > _SHOWN_BYTES:
        return  # each level takes a byte: what is deeper is cut anyway
    if isinstance(value, dict) and value:
        yield from _members(value, depth)
    elif isinstance(value, list):
        yield "["
        for position, item in enumerate(value):
            yield ", " if position else ""
            yield from _pieces(item, depth + 1)
        yield "]"
    else:
        yield _scalar_text(value)


def _members(value: dict[str, Any], depth: int) -> Iterator[str]:
    indent = "\n" + "    " * (depth + 1)
    for position, (key, item) in enumerate(islice(value.items(), _SHOWN_BYTES)):
        yield f"{',' if position else '{'}{indent}{encode_basestring(key)}: "
        yield from _pieces(item, depth + 1)
    yield f"{indent[:-4]}}}"


def _scalar_text(value: Any) -> str:
    if isinstance(value, str):
        clean = value[:_SHOWN_BYTES].encode("utf-8", "replace").decode("utf-8")
        return encode_basestring(clean)
    return json.dumps(value)


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
