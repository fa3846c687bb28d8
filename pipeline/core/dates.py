"""Reads ISO 8601 dates as text, in NumPy: the reference for what the graph does with bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.features import DATE_PART_PERIODS, DatePart

DATE_BYTES = 16
"""Bytes read of a date: `YYYY-MM-DDTHH:MM`."""

LOWEST_BYTES = b"0000-00-00\x0000:00"
HIGHEST_BYTES = b"9999-99-99\xff99:99"
"""Each byte of a date lies between these two; the byte between day and hour is `T` or a blank."""

FIELD_BYTES = {
    "year": (0, 4),
    "month": (5, 7),
    "day": (8, 10),
    "hour": (11, 13),
    "minute": (14, 16),
}
"""Where the digits of each field stand, from the first to behind the last."""


def part_indices(words: Sequence[str], parts: Sequence[DatePart]) -> NDArray[np.int64]:
    """The calendar parts of dates written as `features.DatetimeFeature` says.

    Args:
        words: Dates as text.
        parts: The parts wanted.

    Returns:
        int64 `[len(words), len(parts)]`: 0 where the text is no such date, else
        `1 + part - first` with `first` from `DATE_PART_PERIODS`.
    """
    raw = [word.encode("utf-8", errors="replace") for word in words]
    lengths = np.fromiter((len(word) for word in raw), np.int64, len(raw))
    text = np.array(raw, dtype=f"S{DATE_BYTES}").reshape(-1)
    matrix = text.view(np.uint8).reshape(len(raw), DATE_BYTES)
    fields, well_formed = _fields(matrix, lengths)
    values, exists = _values(fields)
    valid = well_formed & exists
    indices = [1 + values[part] - DATE_PART_PERIODS[part][0] for part in parts]
    return np.where(valid[:, None], np.stack(indices, axis=1), 0)


def holidays(words: Sequence[str], dates: Sequence[str]) -> NDArray[np.bool_]:
    """Whether each text is a date on one of `dates`, as `features.HolidayFeature` says."""
    named = frozenset(dates)
    listed = [word[:10] in named or word[5:10] in named for word in words]
    return np.array(listed, np.bool_) & (part_indices(words, ["day"])[:, 0] > 0)


def _fields(
    matrix: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.bool_]]:
    lowest, highest = (np.frombuffer(row, np.uint8) for row in (LOWEST_BYTES, HIGHEST_BYTES))
    fits = (matrix >= lowest) & (matrix <= highest)
    separated = (matrix[:, 10] == ord("T")) | (matrix[:, 10] == ord(" "))
    alone = lengths == 10
    timed = separated & fits[:, 11:].all(axis=1)
    fields: dict[str, Any] = {}
    for name, (start, stop) in FIELD_BYTES.items():
        digits = matrix[:, start:stop].astype(np.int64) - ord("0")
        fields[name] = digits @ 10 ** np.arange(stop - start - 1, -1, -1)
    for name in ("hour", "minute"):
        fields[name] = np.where(timed, fields[name], 0)
    return fields, fits[:, :10].all(axis=1) & (alone | timed)


def _values(
    fields: dict[str, NDArray[np.int64]],
) -> tuple[dict[DatePart, NDArray[np.int64]], NDArray[np.bool_]]:
    """All parts, and whether the date exists, by NumPy's own proleptic Gregorian calendar."""
    month = np.clip(fields["month"], 1, 12)
    months = ((fields["year"] - 1970) * 12 + month - 1).astype("datetime64[M]")
    first = months.astype("datetime64[D]")
    length = ((months + 1).astype("datetime64[D]") - first).astype(np.int64)
    exists = (
        (fields["month"] == month)
        & (fields["day"] >= 1)
        & (fields["day"] <= length)
        & (fields["hour"] < 24)
        & (fields["minute"] < 60)
    )
    date = first + (fields["day"] - 1)
    new_year = months.astype("datetime64[Y]").astype("datetime64[D]")
    values: dict[DatePart, NDArray[np.int64]] = {
        "month": month,
        "day": fields["day"],
        # Day 0 of datetime64, 1 January 1970, was a Thursday: 3 where Monday is 0.
        "day_of_week": (date.astype(np.int64) + 3) % 7,
        "day_of_year": (date - new_year).astype(np.int64) + 1,
        "hour": fields["hour"],
        "minute": fields["minute"],
    }
    return values, exists
