"""Dates written as text: which format a column of words is in."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?")
_DAYS = (
    "%d.%m.%Y",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%Y.%m.%d",
    "%Y%m%d",
    "%d %b %Y",
    "%d %B %Y",
    "%d-%b-%Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S", ", %H:%M")
_FORMATS = tuple(day + time for day in _DAYS for time in _TIMES)
_TWINS = {"%d/%m": "%m/%d", "%m/%d": "%d/%m", "%d-%m": "%m-%d", "%m-%d": "%d-%m"}
_TRIED_FIRST = 50
FIRST_YEAR, LAST_YEAR = 1800, 2200
"""Dates of other years are most likely none."""

COMPACT = "%Y%m%d"
"""Eight digits, which are a whole number as well."""
ISO = ""
"""The format of ISO 8601, which needs none."""


def date_format(words: Sequence[str]) -> str | None:
    """The strptime format that reads every one of `words`; `ISO` for ISO 8601, None for none.

    Args:
        words: Different words of a column, none missing, at least one.
    """
    if all(_ISO.fullmatch(word) for word in words):
        return ISO if parsed(words, ISO) is not None else None
    if not any(character.isdigit() for character in words[0]):
        return None
    for pattern in _FORMATS:
        if parsed(words[:_TRIED_FIRST], pattern) is not None and parsed(words, pattern) is not None:
            return pattern
    return None


def day_and_month_swapped(words: Sequence[str], pattern: str) -> str | None:
    """The format with day and month swapped where it reads every word just as well, else None."""
    twin = _TWINS.get(pattern[:5])
    if twin is None:
        return None
    other = twin + pattern[5:]
    return other if parsed(words, other) is not None else None


def strays(words: Sequence[str]) -> list[str]:
    """Those of `words` that are no moments of our time in ISO 8601."""
    usual = _iso_moments(words).dt.year.between(FIRST_YEAR, LAST_YEAR)
    return [
        word
        for word, one in zip(words, usual.tolist(), strict=True)
        if not (one and _ISO.fullmatch(word))
    ]


def _iso_moments(words: Sequence[str]) -> pd.Series[pd.Timestamp]:
    texts = pd.Series([word[:19].replace("T", " ").rstrip("Z") for word in words], dtype="str")
    return pd.to_datetime(texts, format="ISO8601", errors="coerce")


def parsed(words: Sequence[str], pattern: str) -> pd.Series[pd.Timestamp] | None:
    """The moments that `words` name, without time zone; None where one of them names none."""
    if pattern == ISO:
        moments = _iso_moments(words)
    else:
        moments = pd.to_datetime(pd.Series(words, dtype="str"), format=pattern, errors="coerce")
    if moments.isna().any() or not moments.dt.year.between(FIRST_YEAR, LAST_YEAR).all():
        return None
    return moments
