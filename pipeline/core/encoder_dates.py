"""Reads ISO 8601 dates inside the TensorFlow graph; a bad date is missing, never an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pipeline.core.dates import DATE_BYTES, FIELD_BYTES, HIGHEST_BYTES, LOWEST_BYTES
from pipeline.core.features import DATE_PART_PERIODS, DatePart

_LOWEST = np.frombuffer(LOWEST_BYTES, np.uint8)
_HIGHEST = np.frombuffer(HIGHEST_BYTES, np.uint8)

_DAYS_BEFORE_MONTH = np.cumsum([0, 0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30], dtype=np.int32)
"""Days of a common year before month 1, 2, ..., 12; entry 0 is padding."""
_DAYS_IN_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int32)
"""Days of month 1, 2, ..., 12 of a common year; month 0 has none."""


def _decimal_weights() -> np.ndarray[Any, np.dtype[np.float32]]:
    weights = np.zeros((DATE_BYTES, len(FIELD_BYTES)), np.float32)
    for field, (start, stop) in enumerate(FIELD_BYTES.values()):
        weights[start:stop, field] = 10.0 ** np.arange(stop - start - 1, -1, -1)
    return weights


_WEIGHTS = _decimal_weights()
"""Turns a row of digits into year, month, day, hour, minute; exact, all below 2**24."""


def part_indices(words: tf.Tensor, parts: Sequence[DatePart]) -> tf.Tensor:
    """The graph's twin of `dates.part_indices`.

    Args:
        words: Dates as text, string `[rows]`.
        parts: The parts wanted.

    Returns:
        int32 `[rows, len(parts)]`: 0 where the text is no date, else `1 + part - first`.
    """
    fields, well_formed = _fields(words)
    year, month, day, hour, minute = tf.unstack(fields, axis=1)
    leap = tf.cast((year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0)), tf.int32)
    safe_month = tf.where(month <= 12, month, 0)
    length = tf.gather(_DAYS_IN_MONTH, safe_month) + tf.where(month == 2, leap, 0)
    exists = (day >= 1) & (day <= length) & (hour < 24) & (minute < 60)
    day_of_year = tf.gather(_DAYS_BEFORE_MONTH, safe_month) + tf.where(month > 2, leap, 0) + day
    values: dict[DatePart, tf.Tensor] = {
        "month": month,
        "day": day,
        "day_of_week": _day_of_week(year, day_of_year),
        "day_of_year": day_of_year,
        "hour": hour,
        "minute": minute,
    }
    chosen = tf.stack([values[part] for part in parts], axis=1)
    firsts = np.array([DATE_PART_PERIODS[part][0] for part in parts], np.int32)
    return tf.where((well_formed & exists)[:, None], 1 + chosen - firsts, 0)


def holiday_table(dates: Sequence[str]) -> tf.lookup.StaticHashTable:
    """The days by their text: 1; every other text: 0."""
    ones = tf.ones([len(dates)], tf.int64)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(tf.constant(list(dates)), ones), 0
    )


def holidays(words: tf.Tensor, table: Any) -> tf.Tensor:
    """The graph's twin of `dates.holidays`: float32 `[rows]` of 1 and 0."""
    padded = tf.strings.join([words, " " * 10])
    known = table.lookup(tf.strings.substr(padded, 0, 10))
    known += table.lookup(tf.strings.substr(padded, 5, 5))
    is_date = part_indices(words, ("day",))[:, 0] > 0
    return tf.cast(is_date & (known > 0), tf.float32)


def _fields(words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Year, month, day, hour and minute, int32 `[rows, 5]`, and whether the text has the form."""
    text = tf.io.decode_raw(words, tf.uint8, fixed_length=DATE_BYTES)
    text = tf.reshape(text, [-1, DATE_BYTES])
    fits = (text >= _LOWEST) & (text <= _HIGHEST)
    dated = tf.reduce_all(fits[:, :10], axis=1)
    separated = (text[:, 10] == ord("T")) | (text[:, 10] == ord(" "))
    timed = separated & tf.reduce_all(fits[:, 11:], axis=1)
    alone = tf.strings.length(words) == 10
    digits = tf.cast(text, tf.float32) - float(ord("0"))
    fields = tf.cast(tf.matmul(digits, _WEIGHTS), tf.int32)
    no_time = np.array([False, False, False, True, True])
    fields = tf.where(no_time & ~timed[:, None], 0, fields)
    # What has not the form holds any numbers; zeros keep the look-ups below in range.
    well_formed = dated & (alone | timed)
    return tf.where(well_formed[:, None], fields, 0), well_formed


def _day_of_week(year: tf.Tensor, day_of_year: tf.Tensor) -> tf.Tensor:
    """Monday is 0, in the proleptic Gregorian calendar.

    Counts days from Monday, 1 January of year 1 (the "fixed" date of Reingold and Dershowitz,
    Calendrical Calculations, formula 2.17).
    """
    past = year - 1
    days = 365 * past + past // 4 - past // 100 + past // 400 + day_of_year - 1
    return days % 7
