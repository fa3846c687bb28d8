"""Converts one raw column to what its kind says, and marks what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.dates import part_indices
from pipeline.core.features import Column
from pipeline.core.table import convert
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    DatetimeConfig,
    LatitudeConfig,
    ListConfig,
    LongitudeConfig,
    NumericConfig,
    WeightConfig,
)

Mask = NDArray[np.bool_]


def typed_values(values: pd.Series[Any], how: ColumnConfig | None) -> tuple[Any, Mask]:
    """Converts one column to its kind; None stands for words.

    Returns:
        float64 values (numbers and truth values) or a `str` array, and which rows hold something
        of another kind.
    """
    name = str(values.name)
    match how:
        case NumericConfig() | LatitudeConfig() | LongitudeConfig() | WeightConfig():
            return convert(values, Column(name=name, dtype="float64"))
        case BooleanConfig():
            truths, lies = how.true_values, how.false_values
            column = Column(name=name, dtype="bool", true_values=truths, false_values=lies)
            return convert(values, column)
        case DatetimeConfig():
            return _dates(values, how)
        case ListConfig():
            return convert(values, Column(name=name, dtype="string", separator=how.separator))
    return convert(values, Column(name=name, dtype="string"))


def category_values(values: pd.Series[Any], how: ColumnConfig | None) -> tuple[Any, Mask]:
    """As `typed_values` converts words, but each different one is converted once.

    Args:
        values: Text, whole numbers or categories of such.
        how: As for `typed_values`, a kind of words.

    Returns:
        A categorical ('' for missing), and which rows hold something of another kind.
    """
    codes: Any
    if isinstance(values.dtype, pd.CategoricalDtype):
        codes, different = values.cat.codes.to_numpy(), values.cat.categories
    else:
        codes, different = pd.factorize(values)
    words, wrong = typed_values(pd.Series(different, name=values.name), how)
    # Code -1 stands for missing and takes the last entry; two values may become one word.
    known = words.take([*range(len(words)), -1], allow_fill=True, fill_value="")
    places, categories = pd.factorize(known)
    made = pd.Categorical.from_codes(places[codes], categories=categories)
    return made, np.append(wrong, False)[codes]


def moments(words: pd.Series[Any]) -> NDArray[np.datetime64]:
    """ISO 8601 text as datetime64[us] in UTC; NaT where missing or no moment."""
    codes, known = pd.factorize(words)
    found = pd.to_datetime(pd.Series(known), format="ISO8601", utc=True, errors="coerce")
    return found.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")[codes]


def _dates(values: pd.Series[Any], how: DatetimeConfig) -> tuple[Any, Mask]:
    text, wrong = convert(values, Column(name=str(values.name), dtype="string", format=how.format))
    if pd.api.types.is_datetime64_any_dtype(values.dtype) and _four_digits(values):
        return text, wrong  # what was a moment before is one in text too
    codes, known = pd.factorize(pd.Series(text))
    no_date = (part_indices(known.tolist(), ["day"])[:, 0] == 0) & (known != "")
    wrong |= no_date[codes]
    return pd.Series(text).mask(wrong, "").array, wrong


def _four_digits(moments: pd.Series[Any]) -> bool:
    ends = moments.agg(["min", "max"])
    return bool(ends.dt.year.dropna().between(0, 9999).all())
