"""Reading JSON text as RapidJSON 1.1 does it: any nesting, NaN and Infinity, its words for errors.

Slow, and so only for text that faster parsers refuse or read otherwise.
"""

from __future__ import annotations

import re
from typing import Any

from pipeline.serve.status import ServingError, invalid

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![0-9.eE])")
_DIGITS = re.compile(r"[0-9]*")
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_HEX = re.compile(r"[0-9A-Fa-f]{4}")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_WORDS: dict[str, tuple[str, Any]] = {
    "n": ("null", None),
    "t": ("true", True),
    "f": ("false", False),
}
_END = frozenset({"", "\0"})
"""RapidJSON takes a NUL for the end of the text."""


class Reader:
    """Reads the first value of a text without recursion.

    Args:
        text: The text; bytes that are no UTF-8 as lone surrogates (`surrogateescape`).
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def value(self) -> Any:
        """The value; of a repeated key the first counts.

        Raises:
            ServingError: INVALID_ARGUMENT: the text is no JSON.
        """
        if self._peek() in {*_END, "]", "}", ",", ":"}:
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
            return self._scalar(bracket), None
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
            raise self._error(f"Missing a comma or '{closing}' after {where}.")
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

    def _scalar(self, mark: str) -> Any:
        if mark == '"':
            return self._string()
        if mark not in _WORDS:
            return self._number()
        word, value = _WORDS[mark]
        self._expect(word)
        return value

    def _expect(self, word: str) -> None:
        """Takes a word; what is wrong is told where it begins to differ."""
        for letter in word:
            if self._mark() != letter:
                raise self._error("Invalid value.")
            self._at += 1

    def _number(self) -> int | float:
        begin = self._at
        right = _NUMBER.match(self._text, begin)
        if right:
            self._at = right.end()
            return self._converted(begin, whole=not (right[1] or right[2]))
        negative = self._take("-")
        if self._mark() in {"N", "I"}:
            return self._word(-1.0 if negative else 1.0)
        # A zero stands alone; what follows it is no part of the number.
        if not self._take("0"):
            self._digits("Invalid value.")
        whole = True
        if self._take("."):
            self._digits("Miss fraction part in number.")
            whole = False
        if self._take("e") or self._take("E"):
            _ = self._take("+") or self._take("-")
            self._digits("Miss exponent in number.")
            whole = False
        return self._converted(begin, whole=whole)

    def _converted(self, begin: int, *, whole: bool) -> int | float:
        text = self._text[begin : self._at]
        # More digits than any 64-bit integer has are a double.
        if whole and len(text) <= 20 and -(2**63) <= int(text) < 2**64:
            return int(text)
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            raise self._error("Number too big to be stored in double.", begin)
        return value

    def _word(self, sign: float) -> float:
        if self._mark() == "N":
            self._expect("NaN")
            return float("nan")
        self._expect("Inf")
        if self._mark() == "i":
            self._expect("inity")
        return sign * float("inf")

    def _digits(self, otherwise: str) -> None:
        begin = self._at
        self._at = _after(_DIGITS, self._text, begin)
        if self._at == begin:
            raise self._error(otherwise)

    def _take(self, mark: str) -> bool:
        found = self._text.startswith(mark, self._at)
        self._at += len(mark) * found
        return found

    def _string(self) -> str:
        pieces = []
        self._at += 1
        while True:
            begin = self._at
            self._at = _after(_PLAIN, self._text, begin)
            pieces.append(self._text[begin : self._at])
            mark = self._mark()
            if mark == '"':
                self._at += 1
                return "".join(pieces)
            if mark == "\\":
                pieces.append(self._escaped())
            elif mark in _END:
                raise self._error("Missing a closing quotation mark in string.")
            else:
                raise self._error("Invalid escape character in string.")

    def _escaped(self) -> str:
        begin = self._at
        mark = self._text[begin + 1 : begin + 2]
        self._at += 2
        if mark in _ESCAPES:
            return _ESCAPES[mark]
        if mark != "u":
            raise self._error("Invalid escape character in string.", begin)
        first = self._hex(begin)
        if not 0xD800 <= first < 0xDC00:
            # The second half of a pair, alone, is encoded as if it were a character.
            lone = chr(first).encode("utf-8", "surrogatepass")
            return lone.decode("utf-8", "surrogateescape")
        second = self._hex(begin) if self._take("\\u") else 0
        if not 0xDC00 <= second < 0xE000:
            raise self._error("The surrogate pair in string is invalid.", begin)
        return chr(0x10000 + ((first - 0xD800) << 10 | (second - 0xDC00)))

    def _hex(self, begin: int) -> int:
        digits = _HEX.match(self._text, self._at)
        if digits is None:
            raise self._error("Incorrect hex digit after \\u escape in string.", begin)
        self._at += 4
        return int(digits[0], 16)

    def _mark(self) -> str:
        return self._text[self._at : self._at + 1]

    def _peek(self) -> str:
        mark = self._mark()
        if mark not in " \t\r\n" or not mark:
            return mark
        self._at = _after(_SPACE, self._text, self._at)
        return self._mark()

    def _error(self, what: str, at: int | None = None) -> ServingError:
        before = self._text[: self._at if at is None else at]
        offset = len(before.encode("utf-8", "surrogateescape"))
        return invalid(f"JSON Parse error: {what} at offset: {offset}")


def _after(pattern: re.Pattern[str], text: str, begin: int) -> int:
    """Where what matches from `begin` on ends."""
    found = pattern.match(text, begin)
    return found.end() if found else begin


def _put(container: Any, key: str, value: Any) -> None:
    if isinstance(container, list):
        container.append(value)
    else:
        container.setdefault(key, value)
