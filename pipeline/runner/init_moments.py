"""What a column of dates most likely is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.runner.init_dates import (
    COMPACT,
    FIRST_YEAR,
    ISO,
    LAST_YEAR,
    day_and_month_swapped,
    parsed,
)
from pipeline.runner.init_guess import Guess


def guess_dates(words: pd.Series[Any], pattern: str) -> Guess | None:
    """Guesses from dates written as text; None for dates beyond what can be read.

    Args:
        words: The text of each row, none missing.
        pattern: The strptime format that they are in; `ISO` for ISO 8601.
    """
    codes, known = pd.factorize(words)
    distinct = parsed(known.tolist(), pattern)
    if distinct is None:
        return None
    moments = pd.Series(distinct.to_numpy()[codes], index=words.index)
    other = day_and_month_swapped(known.tolist(), pattern)
    warning = f"day and month could be swapped: format {pattern} or {other}" if other else ""
    return replace(_dated(moments, pattern), warning=warning)


def guess_moments(moments: pd.Series[Any]) -> Guess | None:
    """Guesses from dates that the source has as such; None for some beyond what can be read.

    Args:
        moments: datetime64 of any zone, none missing.
    """
    zone = moments.dt.tz
    naive = moments if zone is None else moments.dt.tz_convert("UTC").dt.tz_localize(None)
    possible = bool(naive.dt.year.between(FIRST_YEAR, LAST_YEAR).all())
    return _dated(naive, ISO) if possible else None


def _dated(moments: pd.Series[Any], pattern: str) -> Guess:
    timed = bool((moments.dt.hour != 0).any() or (moments.dt.minute != 0).any())
    options: dict[str, Any] = {"format": pattern} if pattern != ISO else {}
    options["parts"] = ["month", "day_of_week", "hour"] if timed else ["month", "day_of_week"]
    note = f"{moments.min():%Y-%m-%d} to {moments.max():%Y-%m-%d}"
    return Guess("datetime", options, note, as_text=pattern == COMPACT, moments=moments)
