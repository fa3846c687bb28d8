"""Strings, numbers and words of JSON text as RapidJSON 1.1 reads them, and its words for errors."""

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
END = frozenset({"", "\0"})
"""RapidJSON takes a NUL for the end of the text."""


class Scalars:
    """Reads values that are no containers, from where it stands in a text.

    Args:
        text: The text; bytes that are no UTF-8 as lone surrogates (`surrogateescape`).
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def scalar(self, mark: str) -> Any:
        """The value that is no container, and begins with `mark`."""
        if mark == '"':
            return self.string()
        if mark not in _WORDS:
            return self._number()
        word, value = _WORDS[mark]
        self._expect(word)
        return value

    def peek(self) -> str:
        """The next letter that is no space; '' at the end."""
        mark = self._mark()
        if mark not in " \t\r\n" or not mark:
            return mark
        self.at = _after(_SPACE, self.text, self.at)
        return self._mark()

    def error(self, what: str, at: int | None = None) -> ServingError:
        """RapidJSON's words, with an offset in bytes."""
        before = self.text[: self.at if at is None else at]
        offset = len(before.encode("utf-8", "surrogateescape"))
        return invalid(f"JSON Parse error: {what} at offset: {offset}")

    def _mark(self) -> str:
        return self.text[self.at : self.at + 1]

    def _take(self, mark: str) -> bool:
        found = self.text.startswith(mark, self.at)
        self.at += len(mark) * found
        return found

    def _digits(self, otherwise: str) -> None:
        begin = self.at
        self.at = _after(_DIGITS, self.text, begin)
        if self.at == begin:
            raise self.error(otherwise)

    def _expect(self, word: str) -> None:
        """Takes a word; what is wrong is told where it begins to differ."""
        for letter in word:
            if self._mark() != letter:
                raise self.error("Invalid value.")
            self.at += 1

    def _word(self, sign: float) -> float:
        if self._mark() == "N":
            self._expect("NaN")
            return float("nan")
        self._expect("Inf")
        if self._mark() == "i":
            self._expect("inity")
        return sign * float("inf")

    def _number(self) -> int | float:
        begin = self.at
        right = _NUMBER.match(self.text, begin)
        if right:
            self.at = right.end()
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
        text = self.text[begin : self.at]
        # More digits than any 64-bit integer has are a double.
        if whole and len(text) <= 20 and -(2**63) <= int(text) < 2**64:
            return int(text)
        value = float(text)
        if value in {float("inf"), float("-inf")}:
            raise self.error("Number too big to be stored in double.", begin)
        return value

    def string(self) -> str:
        """The string that begins here."""
        pieces = []
        self.at += 1
        while True:
            begin = self.at
            self.at = _after(_PLAIN, self.text, begin)
            pieces.append(self.text[begin : self.at])
            mark = self._mark()
            if mark == '"':
                self.at += 1
                return "".join(pieces)
            if mark == "\\":
                pieces.append(self._escaped())
            elif mark in END:
                raise self.error("Missing a closing quotation mark in string.")
            else:
                raise self.error("Invalid escape character in string.")

    def _escaped(self) -> str:
        begin = self.at
        mark = self.text[begin + 1 : begin + 2]
        self.at += 2
        if mark in _ESCAPES:
            return _ESCAPES[mark]
        if mark != "u":
            raise self.error("Invalid escape character in string.", begin)
        first = self._hex(begin)
        if not 0xD800 <= first < 0xDC00:
            # The second half of a pair, alone, is encoded as if it were a character.
            lone = chr(first).encode("utf-8", "surrogatepass")
            return lone.decode("utf-8", "surrogateescape")
        second = self._hex(begin) if self._take("\\u") else 0
        if not 0xDC00 <= second < 0xE000:
            raise self.error("The surrogate pair in string is invalid.", begin)
        return chr(0x10000 + ((first - 0xD800) << 10 | (second - 0xDC00)))

    def _hex(self, begin: int) -> int:
        digits = _HEX.match(self.text, self.at)
        if digits is None:
            raise self.error("Incorrect hex digit after \\u escape in string.", begin)
        self.at += 4
        return int(digits[0], 16)


def _after(pattern: re.Pattern[str], text: str, begin: int) -> int:
    """Where what matches from `begin` on ends."""
    found = pattern.match(text, begin)
    return found.end() if found else begin
