"""Hashes of values and of rows: equal values give equal hashes, in every table and every batch.

Nothing here depends on which rows stand together, so that copies can be found, and rows shared
between the splits, in parts and in any number of processes.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_LONG_BYTES = 256
"""Longer words are hashed by BLAKE2b, one after the other."""
_MISSING_BITS = np.uint64(0x7FF8000000000000)


def mixed(bits: Hashes) -> Hashes:
    """Spreads every bit over all 64: the finaliser of splitmix64 (Steele, Lea, Flood, 2014)."""
    bits = bits ^ (bits >> np.uint64(30))
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    bits *= np.uint64(0x94D049BB133111EB)
    bits ^= bits >> np.uint64(31)
    return bits


def hash_numbers(numbers: NDArray[np.float64]) -> Hashes:
    """A hash for each number; -0.0 equals 0.0, and missing equals missing."""
    bits = (numbers + 0.0).view(np.uint64)
    gone = np.isnan(numbers)
    return mixed(np.where(gone, _MISSING_BITS, bits) if gone.any() else bits)


def hash_words(words: pd.Series[Any]) -> Hashes:
    """A hash for each word, from its bytes in UTF-8, eight at a time; of a category once."""
    if isinstance(words.dtype, pd.CategoricalDtype):
        return hash_words(pd.Series(words.cat.categories))[words.cat.codes.to_numpy()]
    starts, lengths, data = _bytes_of(words)
    # Every eight bytes of the text as one number, wherever they begin.
    lanes = np.ndarray((max(len(data) - 7, 1),), "<u8", buffer=data, strides=(1,))
    hashes = mixed(lengths.astype(np.uint64))
    left, place = lengths.copy(), starts.copy()
    rows: Any = slice(None)
    for _ in range(-(-min(int(lengths.max(initial=0)), _LONG_BYTES) // 8)):
        kept = np.minimum(left, 8).astype(np.uint64)
        unwanted = np.uint64(64) - np.uint64(8) * kept
        bits = (lanes[place] << unwanted) >> unwanted
        hashes[rows] = mixed(hashes[rows] ^ bits)
        going_on = left > 8
        if not going_on.all():
            rows = np.flatnonzero(going_on) if isinstance(rows, slice) else rows[going_on]
            left, place = left[going_on], place[going_on]
        left, place = left - 8, place + 8
    for row in np.flatnonzero(lengths > _LONG_BYTES):
        text = data[starts[row] : starts[row] + lengths[row]].tobytes()
        hashes[row] = np.frombuffer(hashlib.blake2b(text, digest_size=8).digest(), "<u8")[0]
    return hashes


def _bytes_of(words: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], Any]:
    """Where each word begins and how long it is, in the bytes of all; eight more bytes follow."""
    array = pa.array(words)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    array = array.cast(pa.large_string())
    offsets = np.frombuffer(array.buffers()[1], np.int64)
    offsets = offsets[array.offset : array.offset + len(array) + 1]
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    text = array.buffers()[2]
    data = np.zeros(last - first + 8, np.uint8)
    if last > first:
        data[:-8] = np.frombuffer(text, np.uint8)[first:last]
    starts = offsets[:-1] - first
    return starts, np.diff(offsets), data


def together(frame: pd.DataFrame, group: str | None) -> Hashes:
    """Equal numbers for equal rows and, where there is a `group` column, for rows of one group."""
    hashes = hash_rows(frame)
    if group is None:
        return hashes
    return np.where((frame[group] != "").to_numpy(), hash_words(frame[group]), hashes)


def hash_rows(frame: pd.DataFrame) -> Hashes:
    """A hash for each row of a working table: of its values in order.

    Rows that differ share one of 2**64 numbers by chance: once among ten million rows in 370,000
    tables.
    """
    hashes = np.zeros(len(frame), np.uint64)
    for name in frame.columns:
        values = frame[name]
        numeric = values.dtype.kind in "fb"
        one = hash_numbers(values.to_numpy(np.float64)) if numeric else hash_words(values)
        # Multiplied before the next is added, so that (a, b) and (b, a) differ.
        hashes = (hashes ^ one) * np.uint64(0x9E3779B97F4A7C15)
        hashes ^= hashes >> np.uint64(32)
    return mixed(hashes)
