"""What becomes of the values of a column of personal data."""

from __future__ import annotations

import datetime
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.core.errors import DataError
from pipeline.core.features import Column
from pipeline.core.table import convert
from pipeline.ingest.config import PiiGeneralise, PiiHash
from pipeline.ingest.privacy_keys import secret_key

_SHOWN_BITS = 128
_HEX_DIGITS = _SHOWN_BITS // 4
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?", re.ASCII)


def protected(name: str, values: pa.ChunkedArray, how: PiiHash | PiiGeneralise) -> pa.Array:
    """The values hashed or made coarse; missing ones stay missing.

    Raises:
        DataError: A value cannot be made coarse so.
        PipelineError: The variable that should hold the key is not set, or its key is too short.
    """
    if pa.types.is_integer(values.type) and (isinstance(how, PiiHash) or how.step is None):
        # Beside missing ones pandas has only floating numbers, which do not hold 64 bits.
        values = values.cast(pa.string())
    series = values.to_pandas()
    if isinstance(how, PiiHash):
        return pa.array(_each(name, series, _hasher(how)), pa.string())
    if how.step is not None:
        return pa.array(_rounded(name, series, how.step), pa.float64(), from_pandas=True)
    if how.characters is not None:
        kept = how.characters
        return pa.array(_each(name, series, lambda word: word[:kept]), pa.string())
    length = len("2024") if how.date == "year" else len("2024-02")
    rest = "-01-01" if how.date == "year" else "-01"
    return pa.array(_each(name, series, lambda word: _coarse_date(name, word, length, rest)))


def _hasher(how: PiiHash) -> Callable[[str], str]:
    key = secret_key(how.key_env)
    return lambda word: hmac.new(key, word.encode(), hashlib.sha256).hexdigest()[:_HEX_DIGITS]


def _each(name: str, values: pd.Series[Any], work: Callable[[str], str]) -> list[str | None]:
    """Works on every distinct value once, as text; 3 and 3.0 are the same value."""
    words, wrong = convert(values.rename(name), Column(name=name, dtype="string"))
    if wrong.any():
        raise DataError(
            f"column '{name}' holds values that are no words, such as lists",
            expected="single values, where pii hashes them or makes them coarse",
            remedy=f"set pii.{name} to drop",
        )
    codes, known = pd.factorize(pd.Series(words))
    made = [work(word) if word else None for word in known.tolist()]
    return [made[code] for code in codes]


def _rounded(name: str, values: pd.Series[Any], step: float) -> np.ndarray:
    numbers, wrong = convert(values.rename(name), Column(name=name, dtype="float64"))
    if wrong.any():
        raise DataError(
            f"column '{name}' holds values that are no numbers",
            expected="numbers, where pii makes them coarse by a step",
            remedy=f"set pii.{name} to drop, hash or characters",
        )
    coarse: np.ndarray = np.floor(numbers / step) * step
    return coarse


def _coarse_date(name: str, word: str, length: int, rest: str) -> str:
    if not _is_day(word):
        raise DataError(
            f"column '{name}' holds values that are no dates in ISO 8601",
            expected="YYYY-MM-DD, where pii makes them coarse by date",
            remedy=f"set pii.{name} to drop, hash or characters",
        )
    return word[:length] + rest


def _is_day(word: str) -> bool:
    """Whether a text begins with a day in the one form whose first characters are its year.

    Of 19850312 or 12/03/1985 they would give the day away.
    """
    try:
        datetime.date.fromisoformat(word[:10])
    except ValueError:
        return False
    return bool(_DAY.fullmatch(word))
