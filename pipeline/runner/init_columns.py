"""What a raw column most likely is: a kind, its options and a word about why."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.features import FALSE_WORDS, TRUE_WORDS, Column
from pipeline.core.schema import build
from pipeline.core.table import MISSING_WORDS, convert
from pipeline.preprocess.config import ColumnConfig
from pipeline.preprocess.raw_values import typed_values
from pipeline.runner.init_dates import COMPACT, ISO, date_format, strays
from pipeline.runner.init_guess import MANY_WORDS, Guess, left_out, word_options
from pipeline.runner.init_moments import guess_dates, guess_moments
from pipeline.runner.init_numbers import FEW_CODES, guess_numbers

_FEW_ROWS = 20
"""Below this, "different in each row" says nothing."""
_UNIQUE = 0.95
_MOST_TRUTHS = 100
"""Yes and no in more spellings than this are no truth values."""
_STRAY_WORDS, _STRAY_FRACTION = 5, 0.4
_SENTENCE_WORDS = 5
_LOOK_ROWS, _YEAR = 1000, r"\d{4}-\d{2}-\d{2}"
_SHOWN_MISSING = 0.01
_INT64_END = 2.0**63
_DIGITS = (
    "whole numbers beyond 64 bits, of which some 16 digits are kept; "
    "dtypes: {{{}: string}} keeps them all"
)
_BEYOND = "dates beyond what can be read"

_SIGNED_NUMBER = re.compile(r"[\s$€£¥]*[-+]?\d[\d.,' ]*\s*(%|[^\W\d_]{1,3}|[$€£¥])?")


def guess_column(
    name: str, values: pd.Series[Any], *, text_file: bool, zero_led: bool = False
) -> Guess:
    """Guesses what a column is from its name and all of its values.

    Args:
        name: The column's name.
        values: Its values as the source gives them, any dtype.
        text_file: Whether the source can be told to read a column as text, and which words mean
            a missing value.
        zero_led: Whether numbers in the file begin with a zero (postcodes, item numbers).
    """
    if values.dtype == object and values.map(_is_nested).any():
        return left_out("lists or objects inside")
    words, _ = convert(values, Column(name=name, dtype="string"))
    texts = pd.Series(words, index=values.index, dtype="str")
    present = texts[texts.str.strip() != ""]
    if present.empty:
        return left_out("no value in any row")
    distinct = present.nunique()
    lost = _DIGITS.format(name) if text_file and _loses_digits(values) else ""
    if distinct == 1 and len(present) == len(values):
        return left_out(lost or f"always {present.iloc[0]!r}")
    if zero_led or _zero_led_text(values, present):
        code = _words(present, distinct, "leading zeros: a code, read as text")
        return _with_missing(replace(code, as_text=text_file), values, present)
    guess = _typed(name, values, present, distinct)
    if not text_file:
        guess = _as_it_is(guess, values, present)
    if not _fits(guess, values):
        guess = _words(present, distinct, "mixed")
    if lost:
        guess = replace(guess, warning=lost)
    return _with_missing(guess, values, present)


def _loses_digits(values: pd.Series[Any]) -> bool:
    """Whether these were whole numbers some of which do not fit into 64 bits."""
    if values.dtype != np.float64:
        return False
    present = values.dropna()
    return bool((present.abs() >= _INT64_END).any() and (present % 1 == 0).all())


def _fits(guess: Guess, values: pd.Series[Any]) -> bool:
    """Whether `preprocess` will take every value for what was guessed."""
    if guess.kind is None:
        return True
    kept = values.mask(values.isin(guess.stray_words)) if guess.stray_words else values
    if guess.as_text:
        kept = kept.astype("Int64").astype("str")
    _, wrong = typed_values(kept, build(ColumnConfig, guess.keys))  # type: ignore[arg-type]
    return not wrong.any()


def _as_it_is(guess: Guess, values: pd.Series[Any], present: pd.Series[Any]) -> Guess:
    """The guess for a source that has types of its own, which no option can change."""
    if guess.stray_words:
        return _words(present, present.nunique(), "numbers and words mixed")
    if guess.as_text and pd.api.types.is_numeric_dtype(values.dtype):
        return Guess(
            "numeric", note="dates as whole numbers: write them as text to use them as such"
        )
    return replace(guess, as_text=False)


def _zero_led_text(values: pd.Series[Any], present: pd.Series[Any]) -> bool:
    """Whether digits were written as text because their leading zeros matter."""
    text = not pd.api.types.is_numeric_dtype(values.dtype)
    return text and bool(present.str.fullmatch(r"\d+").all() and present.str.match(r"0\d").any())


def _is_nested(value: object) -> bool:
    return isinstance(value, list | dict | tuple | set | np.ndarray)


def _with_missing(guess: Guess, values: pd.Series[Any], present: pd.Series[Any]) -> Guess:
    """Adds the share of missing values to the note."""
    share = 1 - len(present) / len(values)
    if share < _SHOWN_MISSING or guess.kind is None:
        return guess
    note = "; ".join(part for part in (guess.note, f"{share:.0%} missing") if part)
    return replace(guess, note=note)


def _typed(name: str, values: pd.Series[Any], present: pd.Series[Any], distinct: int) -> Guess:
    if distinct == 1:
        return _words(present, distinct, "one word, or missing")
    if distinct <= _MOST_TRUTHS and _truths(present):
        return Guess("boolean")
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        found = guess_moments(values[present.index])
        return found or _words(present, distinct, _BEYOND)
    numbers, wrong = convert(values, Column(name=name, dtype="float64"))
    stray = tuple(pd.unique(values[wrong].astype("str").str.strip()).tolist())
    if stray:
        return _text(name, present, distinct, numbers, stray)
    if _eight_digits(present) and date_format(_sample(present)) == COMPACT:
        return _dates_or_words(present, COMPACT)
    return guess_numbers(name, pd.Series(numbers[np.isfinite(numbers)]), distinct)


def _eight_digits(present: pd.Series[Any]) -> bool:
    # The first rows nearly always say that they are not.
    rows = (present.iloc[:_LOOK_ROWS], present)
    return all(bool(some.str.fullmatch(r"\d{8}").all()) for some in rows)


def _sample(present: pd.Series[Any]) -> list[str]:
    return pd.unique(present).tolist()


def _truths(present: pd.Series[Any]) -> bool:
    words = {word.strip().lower() for word in _sample(present)} - set(MISSING_WORDS)
    return bool(words & set(TRUE_WORDS) and words & set(FALSE_WORDS)) and words <= {
        *TRUE_WORDS,
        *FALSE_WORDS,
    }


def _text(
    name: str, present: pd.Series[Any], distinct: int, numbers: Any, stray: tuple[str, ...]
) -> Guess:
    pattern = date_format(_sample(present))
    if pattern is not None:
        return _dates_or_words(present, pattern)
    if odd := _stray_dates(present):
        listed = ", ".join(repr(word) for word in odd)
        dates = _dates_or_words(present[~present.isin(odd)], ISO)
        return replace(dates, warning=f"{listed} counts as missing", stray_words=odd)
    found = pd.Series(numbers[np.isfinite(numbers)])
    rare = len(found) >= (1 - _STRAY_FRACTION) * len(present)
    if len(stray) <= _STRAY_WORDS and rare and found.nunique() > FEW_CODES:
        guess = guess_numbers(name, found, found.nunique())
        listed = ", ".join(repr(word) for word in stray)
        warning = guess.warning or f"{listed} counts as missing"
        return replace(guess, warning=warning, stray_words=stray)
    if distinct >= _UNIQUE * len(present) and len(present) >= _FEW_ROWS:
        return _unique_words(present)
    signs = _signs(present)
    return replace(_words(present, distinct, signs), warning=signs)


def _stray_dates(present: pd.Series[Any]) -> tuple[str, ...]:
    """The few words among dates that are none; empty where that is not what the column is."""
    if not present.iloc[:_LOOK_ROWS].str.match(_YEAR).mean() > _STRAY_FRACTION:
        return ()
    odd = strays(_sample(present))
    rare = present.isin(odd).mean() <= _STRAY_FRACTION
    return tuple(odd) if rare and len(odd) <= _STRAY_WORDS else ()


def _unique_words(present: pd.Series[Any]) -> Guess:
    if present.str.count(r"\s+").mean() + 1 >= _SENTENCE_WORDS:
        return left_out("free text, different in each row")
    if signs := _signs(present):
        return left_out(signs)
    note = "different in each row"
    return Guess("id", note=note, warning=f"kept as an id, no feature: {note}")


def _signs(present: pd.Series[Any]) -> str:
    """A remark where words look like numbers that are not written plainly."""
    if all(_SIGNED_NUMBER.fullmatch(word) for word in _sample(present)):
        return f"like {present.iloc[0]!r}: write plain numbers (3.5) to use them as such"
    return ""


def _words(present: pd.Series[Any], distinct: int, note: str) -> Guess:
    options = word_options(present)
    if distinct <= MANY_WORDS:
        return Guess("categorical", options, note or f"{distinct} words")
    return Guess("categorical", options, f"{distinct:,} words; rare ones share buckets")


def _dates_or_words(present: pd.Series[Any], pattern: str) -> Guess:
    return guess_dates(present, pattern) or _words(present, present.nunique(), _BEYOND)
