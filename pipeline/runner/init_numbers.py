"""What a column of numbers most likely is: amounts, codes, or only the number of the row."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from pipeline.runner.init_guess import Guess, word_options

FEW_CODES = 10
"""So few different whole numbers are taken for codes, if each comes often enough."""
_ROWS_PER_CODE = 10
_FEW_ROWS = 20
_LONG_TAIL_SKEW = 3.0

_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_ID_NAME = re.compile("id|uuid|guid|key|index|row|rownum|nr|unnamed")
_CODE_NAME = re.compile(
    "code|cd|type|kind|id|key|zip|plz|postcode|postal|class|category|cat|group|grp|region|area"
    "|district|store|branch|shop|city|country|state|status|segment|cluster|channel|product|model"
    "|brand|make|gender|sex|race|month|weekday|hour|flag|sku|dept|department|sector|zone|line|gate"
    "|batch|carrier|airline|agent|vendor|supplier|customer|user|device"
)
_MEASURE_NAME = re.compile(
    "counts?|num|qty|quantity|amount|total|ages?|years?|days|hours|minutes|seconds|size|score"
    "|price|cost|rate|sum|length|width|height|weight|distance|duration|income|salary|balance"
    "|mean|avg|average|min|max|pct|percent|ratio|temp|temperature"
)


def guess_numbers(name: str, numbers: pd.Series[Any], distinct: int) -> Guess:
    """Guesses from the column's name and its numbers.

    Args:
        name: The column's name.
        numbers: float64, none missing.
        distinct: How many of them are different.
    """
    spread = f"{numbers.min():g} to {numbers.max():g}"
    whole = bool((numbers % 1 == 0).all())
    if whole and _numbered(name, numbers, distinct):
        note = "a number of its own in each row"
        return Guess("id", note=note, warning=f"kept as an id, no feature: {note}")
    if whole and _codes(name, numbers, distinct):
        note = f"{distinct} whole numbers, taken as codes; numeric if they count or measure"
        return Guess("categorical", word_options(numbers), note)
    skew: Any = numbers.skew()
    if numbers.ge(0).all() and skew > _LONG_TAIL_SKEW:
        return Guess("numeric", {"log": True}, f"{spread}, a long tail")
    return Guess("numeric", note=spread)


def _numbered(name: str, numbers: pd.Series[Any], distinct: int) -> bool:
    """Whether these whole numbers only number the rows."""
    if distinct < len(numbers) or distinct < _FEW_ROWS:
        return False
    consecutive = numbers.max() - numbers.min() == distinct - 1
    return bool(consecutive or _named(name, _ID_NAME))


def _codes(name: str, numbers: pd.Series[Any], distinct: int) -> bool:
    """Whether these whole numbers are names of things rather than amounts."""
    if _named(name, _MEASURE_NAME):
        return False
    if _named(name, _CODE_NAME):
        return distinct <= len(numbers) / 2
    return distinct <= FEW_CODES and len(numbers) >= _ROWS_PER_CODE * distinct


def _named(name: str, words: re.Pattern[str]) -> bool:
    """Whether one of the words in a name (user_id, userId) is one of `words`."""
    return any(words.fullmatch(token.lower()) for token in _TOKEN.findall(name))
