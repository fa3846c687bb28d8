"""Any table becomes the table that is served: float64, string or bool columns, nothing else.

CSV files, Parquet files, SQL answers and JSON rows say the same thing in many dtypes. Training
and serving agree only when one function brings them all to one form; this is that function.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import DataError, nearest
from pipeline.core.features import FALSE_WORDS, TRUE_WORDS, Column, Dtype
from pipeline.core.iso_text import iso_text

MISSING_WORDS = ("", "na", "n/a", "<na>", "nan", "null", "none")
"""Text that stands for a missing number or truth value, lower case; in words only '' does."""

_EXAMPLES = 5
_ISO_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ].*)?"
_FLOATS = (float, np.floating)
_CONTAINERS = (list, tuple, dict, set, np.ndarray)
_MEANING: dict[Dtype, str] = {
    "float64": "numbers",
    "string": "words, codes or dates",
    "bool": "truth values, none missing",
}


def as_served(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """Brings `columns` of `frame` to the dtypes of the served signature.

    Idempotent, and never changes `frame`. Numbers as text become float64; whole numbers in a
    string column lose their decimal point (3.0 is "3"); timestamps become ISO 8601 in whole
    seconds, those with a time zone in UTC with a Z; missing values become NaN or ''.

    Args:
        frame: Any table; further columns are ignored.
        columns: The columns wanted, in the order wanted.

    Returns:
        A new frame with the index of `frame`: float64 (finite or NaN), `str` ('' for missing)
        and bool columns.

    Raises:
        DataError: A column is missing or stands twice, or holds values of another kind.
    """
    served = {column.name: _served(pick(frame, column.name), column) for column in columns}
    return pd.DataFrame(served, index=frame.index, columns=[column.name for column in columns])


def pick(frame: pd.DataFrame, name: str) -> pd.Series[Any]:
    """The one column of `frame` called `name`.

    Raises:
        DataError: There is none, or there are several; names the nearest ones.
    """
    if name not in frame.columns:
        near = nearest(name, [str(column) for column in frame.columns])
        raise DataError(
            f"the table has no column '{name}'",
            expected=f"it among the columns {', '.join(map(str, frame.columns[:40]))}",
            remedy=f"was it renamed to {' or '.join(map(repr, near))}?"
            if near
            else "bring the column back",
        )
    found = frame[name]
    if found.ndim > 1:
        raise DataError(
            f"the table has {found.shape[1]} columns called '{name}'",
            expected="each name once",
            remedy="rename or drop all but one",
        )
    return found


def convert(values: pd.Series[Any], column: Column) -> tuple[Any, NDArray[np.bool_]]:
    """Converts one column as far as it goes.

    Args:
        values: The column as it came, of any dtype.
        column: What it should be.

    Returns:
        The values, float64 (a bool column too: 1, 0 and NaN) or a pandas `str` array, and a mask
        of the rows that hold something of another kind; those count as missing in the values.
    """
    if column.dtype == "string":
        return _words(values, column)
    numbers, wrong = _numbers(values, column)
    if column.dtype == "bool":
        no_truth = ~np.isnan(numbers) & (numbers != 0) & (numbers != 1)
        return np.where(no_truth, np.nan, numbers), wrong | no_truth
    return numbers, wrong


def _served(values: pd.Series[Any], column: Column) -> Any:
    if column.dtype == "bool" and values.dtype == np.bool_:
        return values.to_numpy()
    converted, wrong = convert(values, column)
    if column.dtype == "bool":
        wrong |= np.isnan(converted)
        converted = converted == 1
    if wrong.any():
        raise DataError(
            f"column '{column.name}' holds {wrong.sum()} of {len(wrong)} values that are no "
            f"{_MEANING[column.dtype]}: {_examples(values, wrong)}",
            expected=f"{column.dtype}: {_MEANING[column.dtype]}"
            + (", of the years 1 to 9999 in UTC" if _has_dates(values[wrong]) else ""),
            remedy=f"correct the table, or declare another kind for '{column.name}'",
        )
    return converted


def _has_dates(values: pd.Series[Any]) -> bool:
    return any(isinstance(value, datetime.date) for value in values)


def _examples(values: pd.Series[Any], wrong: NDArray[np.bool_]) -> str:
    seen = dict.fromkeys(repr(value)[:80] for value in values[wrong].head(100))
    return ", ".join(list(seen)[:_EXAMPLES])


def _numbers(values: pd.Series[Any], column: Column) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _numbers(pd.Series(np.asarray(values)), column)
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        numbers = values.to_numpy(dtype="float64", na_value=np.nan)
        wrong = np.zeros(len(values), np.bool_)
    elif isinstance(dtype, pd.StringDtype):
        codes, known = pd.factorize(values)
        # Code -1 stands for missing and takes the last entry.
        numbers, wrong = _numbers_in_text(pd.Series([*known.tolist(), None], dtype=object), column)
        numbers, wrong = numbers[codes], wrong[codes]
    else:
        numbers, wrong = _numbers_in_text(values.astype(object), column)
    if np.isinf(numbers).any():
        numbers = np.where(np.isinf(numbers), np.nan, numbers)
    return numbers, wrong


def _numbers_in_text(
    values: pd.Series[Any], column: Column
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    parsed = pd.to_numeric(values, errors="coerce")
    if pd.api.types.is_complex_dtype(parsed.dtype):
        return np.full(len(values), np.nan), np.ones(len(values), np.bool_)
    numbers = parsed.to_numpy(dtype="float64", na_value=np.nan)
    odd = np.isnan(numbers) & values.notna().to_numpy()
    if not odd.any():
        return numbers, odd
    meaning = _truths(column)
    words = [str(value).strip().lower() for value in values[odd]]
    numbers = numbers.copy()
    numbers[odd] = [meaning.get(word, np.nan) for word in words]
    odd[odd] = [word not in meaning and word not in MISSING_WORDS for word in words]
    return numbers, odd


def _truths(column: Column) -> dict[str, float]:
    usual = (TRUE_WORDS, FALSE_WORDS) if column.dtype == "bool" else ((), ())
    truths = {word.lower(): 1.0 for word in column.true_values or usual[0]}
    return truths | {word.lower(): 0.0 for word in column.false_values or usual[1]}


def _words(values: pd.Series[Any], column: Column) -> tuple[Any, NDArray[np.bool_]]:
    dtype = values.dtype
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return iso_text(values), np.zeros(len(values), np.bool_)
    if isinstance(dtype, pd.StringDtype):
        return _dated(values.astype("str").fillna(""), column)
    if isinstance(dtype, pd.CategoricalDtype) or pd.api.types.is_numeric_dtype(dtype):
        codes, known = pd.factorize(values)
        # Code -1 stands for missing and takes the last entry.
        text, wrong = _words_of([*known.tolist(), None], column)
        return text.take(codes), wrong[codes]
    return _words_of(values.tolist(), column)


def _words_of(values: list[object], column: Column) -> tuple[Any, NDArray[np.bool_]]:
    if column.separator:
        words = [_joined(value, column.separator) for value in values]
    else:
        words = [_word(value) for value in values]
    wrong = np.fromiter((word is None for word in words), np.bool_, len(words))
    text, unparsed = _dated(pd.Series(_str_array([word or "" for word in words])), column)
    return text, wrong | unparsed


def _word(value: object) -> str | None:
    """One value as served text; None for a value that is no word at all, such as a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, _FLOATS):
        return _number_word(float(value))
    if isinstance(value, _CONTAINERS):
        return None
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    return _date_word(value) if isinstance(value, datetime.date) else str(value)


def _joined(value: object, separator: str) -> str | None:
    """A list as one text; None where an entry is no word, or one that would be cut in two."""
    if not isinstance(value, list | tuple | np.ndarray):
        return _word(value)
    words = [_word(entry) for entry in value]
    if any(word is None or separator in word for word in words):
        return None
    return separator.join(word for word in words if word)


def _number_word(value: float) -> str:
    if not np.isfinite(value):
        return ""
    return str(int(value)) if value.is_integer() else repr(value)


def _date_word(value: datetime.date) -> str | None:
    """A date as text; None where UTC would make it one of the year 0 or 10000."""
    if not isinstance(value, datetime.datetime):
        return value.isoformat()
    if value.tzinfo is None:
        return value.isoformat(timespec="seconds")
    try:
        moment = value.astimezone(datetime.UTC)
    except OverflowError:
        return None
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _dated(words: pd.Series[Any], column: Column) -> tuple[Any, NDArray[np.bool_]]:
    """Brings text in the column's own date format to ISO 8601; ISO 8601 stays as it is."""
    if column.format is None:
        return words.array, np.zeros(len(words), np.bool_)
    codes, known = pd.factorize(words)
    dates = pd.to_datetime(
        pd.Series(known), format=column.format, errors="coerce", utc="%z" in column.format
    )
    text = pd.Series(iso_text(dates), dtype="str")
    kept = dates.isna().to_numpy() & pd.Series(known).str.fullmatch(_ISO_DATE).to_numpy()
    text = text.mask(kept, pd.Series(known, dtype="str"))
    wrong = ((text == "") & (pd.Series(known) != "")).to_numpy(dtype=np.bool_)
    return text.array.take(codes), wrong[codes]


def _str_array(words: list[str]) -> Any:
    try:
        return pd.array(words, dtype="str")
    except UnicodeEncodeError:
        # Lone surrogates (from JSON escapes) have no UTF-8 form.
        clean = [word.encode("utf-8", errors="replace").decode("utf-8") for word in words]
        return pd.array(clean, dtype="str")
