"""Finds the partner row of each main row: one with an equal key, or the latest one before it.

The partner is at hand as a whole, the main table comes in batches. Keys are compared through whole
numbers: every distinct key of the partner gets a code, and its row is found by binary search among
sorted codes. No value moves before its row is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.core.errors import DataError
from pipeline.ingest.config import BeforeConfig

Codes = NDArray[np.int64]

NONE = -1
"""Stands for no partner row, and for a key that has none: one with a missing part, or unknown."""

_SECONDS_PER_HOUR = 3600
_ZONED = r"[T ].*(Z|[+-]\d{2}(:?\d{2})?)$"
"""Text of a moment that names its time zone."""


class Keys:
    """One code for each distinct key of the partner.

    Args:
        partner: The table joined.
        right_key: Its key columns.
        main: Names and types of the main table.
        left_key: The key columns of that.
        name: What the join is called, for messages.

    Attributes:
        codes: Of the partner's rows; NONE where a part of the key is missing.

    Raises:
        DataError: A column is of another type than its partner.
    """

    def __init__(
        self,
        partner: pa.Table,
        right_key: Sequence[str],
        main: pa.Schema,
        left_key: Sequence[str],
        name: str,
    ) -> None:
        self._left_key = left_key
        self._parts: list[tuple[pa.DataType, pa.Array, Codes]] = []
        codes = np.zeros(partner.num_rows, np.int64)
        for left, right in zip(left_key, right_key, strict=True):
            where = f"{left} = {right} of the join '{name}'"
            kind = _common(main.field(left).type, partner[right].type, where)
            encoded = _comparable(partner[right], kind).combine_chunks().dictionary_encode()
            codes = _combined(codes, _as_codes(encoded.indices), len(encoded.dictionary))
            # Dense again, so that the product of the next part cannot overflow.
            known = np.unique(codes[codes != NONE])
            codes = _known(codes, known)
            self._parts.append((kind, encoded.dictionary, known))
        self.codes = codes

    def of(self, main: pa.Table) -> Codes:
        """The codes of a batch's rows; NONE where no partner row has the key."""
        codes = np.zeros(main.num_rows, np.int64)
        for left, (kind, words, known) in zip(self._left_key, self._parts, strict=True):
            found = pc.index_in(_comparable(main[left], kind), value_set=words, skip_nulls=True)
            codes = _known(_combined(codes, _as_codes(found), len(words)), known)
        return codes


def _as_codes(indices: pa.Array | pa.ChunkedArray) -> Codes:
    filled: Codes = pc.fill_null(indices, NONE).to_numpy().astype(np.int64)
    return filled


def _combined(codes: Codes, part: Codes, parts: int) -> Codes:
    either = (codes == NONE) | (part == NONE)
    return np.where(either, NONE, codes * parts + part)


def _known(codes: Codes, known: Codes) -> Codes:
    """The place of each code among `known` ones, which are sorted; NONE where it is not there."""
    if not len(known):
        return np.full(len(codes), NONE)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[places] == codes, places, NONE)


class Equal:
    """The partner rows by their codes, no two of which are the same."""

    def __init__(self, codes: Codes) -> None:
        self._order = np.argsort(codes, kind="stable")
        self._codes = codes[self._order]

    def rows(self, left: Codes) -> Codes:
        """The partner row with each main row's code, or NONE."""
        places = np.minimum(np.searchsorted(self._codes, left), len(self._codes) - 1)
        return np.where((left != NONE) & (self._codes[places] == left), self._order[places], NONE)


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


class Latest:
    """The partner rows by their codes and moments, no two of which are the same.

    Attributes:
        identity: Code and moment of each row in one number, below 0 for NONE.
        before: How long before a main row its partner lies.
    """

    def __init__(self, partner: Events, before: BeforeConfig) -> None:
        self.before = before
        self._partner = partner
        self._first = int(partner.seconds.min())
        # Moments told apart, and one more for all before.
        self._span = int(partner.seconds.max()) - self._first + 2
        self.identity = self._identity(partner.codes, partner.seconds)
        self._order = np.argsort(self.identity, kind="stable")
        self._sorted = self.identity[self._order]

    def rows(self, main: Events) -> tuple[Codes, NDArray[np.float64]]:
        """The latest partner row of each main row's code that lies early enough before it.

        Returns:
            The partner rows, or NONE, and how many hours each lies before, NaN for none.
        """
        gap = max(round(self.before.gap_hours * _SECONDS_PER_HOUR), 1)
        latest = self._identity(main.codes, main.seconds - gap)
        places = np.searchsorted(self._sorted, latest, side="right") - 1
        rows = self._order[np.maximum(places, 0)]
        hours = (main.seconds - self._partner.seconds[rows]) / _SECONDS_PER_HOUR
        known = (main.codes != NONE) & (places >= 0) & (self._partner.codes[rows] == main.codes)
        fits = known & (hours <= self.before.within_hours)
        return np.where(fits, rows, NONE), np.where(fits, hours, np.nan)

    def _identity(self, codes: Codes, seconds: Codes) -> Codes:
        """Ordered by code, then moment; moments outside the partner's are moved inside."""
        offset = np.clip(seconds - self._first + 1, 0, self._span - 1)
        return np.where(codes == NONE, NONE, codes * self._span + offset)


def _moments(column: pa.ChunkedArray, where: str) -> pa.ChunkedArray:
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column
    try:
        return _of_text(column) if _kind(column.type) == "text" else column.cast(pa.date32())
    except pa.ArrowException:
        raise DataError(
            f"the column {where} holds {column.type}, not moments",
            expected="dates or moments in ISO 8601",
            remedy="name another column under before",
        ) from None


def _of_text(words: pa.ChunkedArray) -> pa.ChunkedArray:
    """Each value by itself, so that it means the same in every batch; UTC without a zone."""
    zoned = pc.match_substring_regex(words, _ZONED)
    nothing = pa.scalar(None, words.type)
    instants = pc.if_else(zoned, words, nothing).cast(pa.timestamp("us", "UTC"))
    clocks = pc.if_else(zoned, nothing, words).cast(pa.timestamp("us"))
    return pc.coalesce(instants.cast(pa.timestamp("us")), clocks)


def _common(left: pa.DataType, right: pa.DataType, where: str) -> pa.DataType:
    """The type in which values of both are compared."""
    kinds = [_kind(left), _kind(right)]
    if kinds[0] != kinds[1]:
        raise DataError(
            f"the key {where} compares {left} with {right}",
            expected="columns of one type",
            remedy="set dtypes in one of the sources, e.g. {column: string}",
        )
    if pa.types.is_nested(left):
        raise DataError(
            f"the key {where} is of type {left}",
            expected="words, numbers, truth values or moments",
            remedy="choose another key",
        )
    common = {"number": pa.float64(), "text": pa.large_string(), "moment": pa.timestamp("us")}
    return left if left == right else common.get(kinds[0], left)


def _comparable(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """The values under the common type; not a number is missing, and -0 is 0."""
    made = values.cast(kind)
    if not pa.types.is_floating(kind):
        return made
    missing = pc.is_nan(made)
    return pc.if_else(missing, pa.scalar(None, kind), pc.add(made, pa.scalar(0.0, kind)))


def _kind(arrow: pa.DataType) -> str:
    if pa.types.is_integer(arrow) or pa.types.is_floating(arrow):
        return "number"
    if pa.types.is_string(arrow) or pa.types.is_large_string(arrow):
        return "text"
    if pa.types.is_timestamp(arrow) or pa.types.is_date(arrow):
        return "moment"
    return str(arrow)
