"""Reading JSON text as the real server does (RapidJSON).

RapidJSON takes what strict parsers refuse: NaN and Infinity, any depth of nesting, text after the
object, bytes that are no UTF-8. Strict text, nearly all there is, goes through orjson; the rest
through Python's own parser; what that refuses, or reads otherwise, through `json_reader`.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from pipeline.serve.json_reader import Reader
from pipeline.serve.json_shown import shown
from pipeline.serve.status import invalid

_SPACE = re.compile(r"[ \t\r\n]*")
_LOOSE = json.JSONDecoder()
_FIRST_COUNTS = json.JSONDecoder(object_pairs_hook=lambda pairs: dict(reversed(pairs)))
_OTHERWISE = re.compile(
    r"[eE]\+?0*[1-9][0-9]{2}"  # may be beyond a double, which Python reads as infinite
    r"|(?<![.0-9])(?:-[0-9]{19}|[0-9]{20})"  # may be beyond 64 bits, which is a double
    r"|\\u[dD][89A-Fa-f]"  # may be half of a surrogate pair
    r"|Inf(?!inity)|-NaN"
)
"""What Python's parser may read otherwise than RapidJSON."""
_KEYS = tuple(
    f'"{key}"'.encode() for key in ("instances", "inputs", "signature_name", "examples", "context")
)
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
        document = _read(_text(body), _LOOSE)
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    if any(body.count(key) > 1 for key in _KEYS):
        return dict(_read(_text(body), _FIRST_COUNTS))
    return document


def _text(body: bytes) -> str:
    # Bytes that are no UTF-8 become lone surrogates here and the same bytes again in `encoded`.
    return body.decode("utf-8", "surrogateescape").removeprefix(_BOM)


def _read(text: str, decoder: json.JSONDecoder) -> Any:
    if not _OTHERWISE.search(text):
        try:
            return decoder.raw_decode(text, _SPACE.match(text).end())[0]  # type: ignore[union-attr]
        except (ValueError, RecursionError):
            pass  # read again below, for what RapidJSON takes or says
    return Reader(text).value()


def encoded(text: str) -> bytes:
    """The bytes of a JSON string."""
    return text.encode("utf-8", "surrogateescape")
