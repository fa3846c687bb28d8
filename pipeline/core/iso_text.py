"""Moments written as text of ISO 8601."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_DAY_SECONDS = 86_400
_DAY = "YYYY-MM-DD"
_CLOCK = "HH:MM:SS"


def iso_text(moments: pd.Series[Any]) -> Any:
    """Writes timestamps as `YYYY-MM-DDTHH:MM:SS`, with Z where they know their time zone.

    Args:
        moments: datetime64 of any unit and zone; parts of a second are left out.

    Returns:
        A pandas `str` array, '' for NaT. Years of more than four digits keep them all.
    """
    index = pd.DatetimeIndex(moments)
    zone = "" if index.tz is None else "Z"
    naive = index if index.tz is None else index.tz_convert("UTC").tz_localize(None)
    seconds = naive.to_numpy().astype("datetime64[s]")
    gone = np.isnat(seconds)
    days, clock = np.divmod(np.where(gone, 0, seconds.view(np.int64)), _DAY_SECONDS)
    # There are few different days, so that each is written once.
    codes, known = pd.factorize(days)
    written = np.datetime_as_string(known.astype("datetime64[D]"))
    if np.strings.str_len(written).max(initial=0) > len(_DAY):
        pairs = zip(np.datetime_as_string(seconds).tolist(), gone.tolist(), strict=True)
        return pd.array(["" if no else f"{word}{zone}" for word, no in pairs], dtype="str")
    letters = np.full(len(seconds), f"{_DAY}T{_CLOCK}{zone}".encode())
    # What stands between and behind is the same in every row, and there already.
    fields = [("day", "S10"), ("between", "S1"), ("clock", "S8"), ("zone", f"S{len(zone)}")]
    filled = letters.view(np.dtype(fields))
    filled["day"], filled["clock"] = written.astype("S10")[codes], _clocks()[clock]
    return _text_of(letters, gone)


@cache
def _clocks() -> NDArray[np.bytes_]:
    """Every second of a day."""
    text = np.datetime_as_string(np.arange(_DAY_SECONDS).astype("datetime64[s]"))
    return np.array([one[-len(_CLOCK) :] for one in text.tolist()], "S")


def _text_of(letters: NDArray[Any], gone: NDArray[np.bool_]) -> Any:
    """Words of equal length in UTF-8 as they stand, and '' where one is `gone`."""
    import pyarrow as pa

    offsets = np.zeros(len(letters) + 1, np.int64)
    np.cumsum(np.where(gone, 0, letters.dtype.itemsize), out=offsets[1:])
    data = letters[~gone] if gone.any() else letters
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pd.array(pa.Array.from_buffers(pa.large_string(), len(letters), buffers), dtype="str")
