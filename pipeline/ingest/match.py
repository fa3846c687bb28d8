"""Finds the partner row of each main row: one with an equal key, or the latest one before it.

Keys are compared through whole numbers: every distinct key of both tables gets a code, and the
partner is found by binary search among sorted codes. No value moves before its row is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.ingest.config import BeforeConfig

Codes = NDArray[np.int64]

NONE = -1
"""Stands for no partner row, and for a key with a missing part."""

_SECONDS_PER_HOUR = 3600


def key_codes(
    main: pa.Table,
    left_key: Sequence[str],
    partner: pa.Table,
    right_key: Sequence[str],
    name: str,
) -> tuple[Codes, Codes]:
    """One code for each distinct key, the same in both tables; -1 where a part is missing."""
    codes = np.zeros(main.num_rows + partner.num_rows, np.int64)
    missing = np.zeros(len(codes), np.bool_)
    for left, right in zip(left_key, right_key, strict=True):
        both = _stacked(main[left], partner[right], f"{left} = {right} of the join '{name}'")
        encoded = both.combine_chunks().dictionary_encode()
        part = encoded.indices.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        missing |= both.is_null().to_numpy()
        codes = codes * max(len(encoded.dictionary), 1) + part
        # Dense again, so that the product of the next part cannot overflow.
        if len(left_key) > 1:
            codes = np.unique(codes, return_inverse=True)[1]
    codes[missing] = NONE
    return codes[: main.num_rows], codes[main.num_rows :]


def equal_rows(left: Codes, right: Codes) -> Codes:
    """The partner row with each main row's code, or NONE; `right` holds no code twice."""
    order = np.argsort(right, kind="stable")
    places = np.minimum(np.searchsorted(right[order], left), len(right) - 1)
    rows = order[places]
    return np.where((left != NONE) & (right[rows] == left), rows, NONE)


@dataclass(frozen=True)
class Events:
    """Rows known by a key and a moment.

    Attributes:
        codes: Code of each row's key; NONE where the key or the moment is missing.
        seconds: Its moment in seconds since 1970, any number where missing.
    """

    codes: Codes
    seconds: Codes

    @classmethod
    def of(cls, codes: Codes, moments: pa.ChunkedArray, where: str) -> Events:
        """Adds the moments of a column of dates or moments, UTC where it names no zone.

        Raises:
            DataError: The column `where` holds something else.
        """
        in_seconds = _moments(moments, where).cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        missing = in_seconds.is_null().to_numpy()
        return cls(np.where(missing, NONE, codes), in_seconds.fill_null(0).to_numpy())

    def range(self) -> tuple[int, int]:
        """`first` and `span` for `identity`: of all moments here."""
        first = int(self.seconds.min())
        return first, int(self.seconds.max()) - first + 2

    def identity(self, first: int, span: int, seconds: Codes | None = None) -> Codes:
        """Code and moment in one number, ordered by code, then moment; below 0 for NONE.

        Args:
            first: The earliest moment told apart.
            span: Moments told apart, and one more for all before.
            seconds: Moments to take instead of the rows' own; those outside are moved inside.
        """
        offset = np.clip((self.seconds if seconds is None else seconds) - first + 1, 0, span - 1)
        return np.where(self.codes == NONE, NONE, self.codes * span + offset)


def latest_rows(
    main: Events, partner: Events, before: BeforeConfig
) -> tuple[Codes, NDArray[np.float64]]:
    """The latest partner row of each main row's code that lies early enough before it.

    Returns:
        The partner rows, or NONE, and how many hours each lies before, NaN for none.
    """
    gap = max(round(before.gap_hours * _SECONDS_PER_HOUR), 1)
    first, span = partner.range()
    events = partner.identity(first, span)
    order = np.argsort(events, kind="stable")
    latest = main.identity(first, span, main.seconds - gap)
    places = np.searchsorted(events[order], latest, side="right") - 1
    rows = order[np.maximum(places, 0)]
    hours = (main.seconds - partner.seconds[rows]) / _SECONDS_PER_HOUR
    known = (main.codes != NONE) & (places >= 0) & (partner.codes[rows] == main.codes)
    fits = known & (hours <= before.within_hours)
    return np.where(fits, rows, NONE), np.where(fits, hours, np.nan)


def _moments(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):
        try:
            return column.cast(kind) if _kind(column.type) == "text" else column.cast(pa.date32())
        except pa.ArrowException:
            continue
    raise DataError(
        f"the column {where} holds {column.type}, not moments",
        expected="dates or moments in ISO 8601",
        remedy="name another column under before",
    )


def _stacked(left: pa.ChunkedArray, right: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    kinds = [_kind(column.type) for column in (left, right)]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"the key {where} compares {left.type} with {right.type}",
            expected="columns of one type",
            remedy="set dtypes in one of the sources, e.g. {column: string}",
        )
    common = {"number": pa.float64(), "text": pa.large_string(), "moment": pa.timestamp("us")}
    kind = left.type if left.type == right.type else common.get(kinds[0], left.type)
    return pa.chunked_array([*left.cast(kind).chunks, *right.cast(kind).chunks], type=kind)


def _kind(arrow: pa.DataType) -> str:
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow):
        return "number"
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "text"
    if pa.types.is_timestamp(arrow) or pa.types.is_date(arrow):
        return "moment"
    return str(arrow)
