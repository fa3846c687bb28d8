"""Dates: which text is one, as in CSV, and those that Python cannot hold."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

_DATES = (
    pa.date32(),
    pa.timestamp("s"),
    pa.timestamp("s", "UTC"),
    pa.timestamp("ns"),
    pa.timestamp("ns", "UTC"),
)
"""What Arrow takes text of CSV for, in its order; with a zone where every value names one."""
_LAST_YEAR = 9999


class Dates:
    """Which columns of text hold dates alone, as CSV would take them for such.

    Args:
        given: Columns that stay as they are.
    """

    def __init__(self, given: Collection[str]) -> None:
        self._given = given
        self._kinds: dict[str, dict[pa.DataType, bool]] = {}

    def look(self, table: pa.Table) -> None:
        """Takes note of some rows; all are to be looked at before any is cast."""
        for name, words in zip(table.column_names, table.columns, strict=True):
            no_words = name in self._given or not pa.types.is_string(words.type)
            if no_words or words.null_count == len(words):
                continue
            # Kinds that all values so far were of, and whether their years are odd.
            kinds = self._kinds.setdefault(name, dict.fromkeys(_DATES, False))
            for kind in list(kinds):
                try:
                    kinds[kind] |= _has_odd_years(words.cast(kind))
                except pa.ArrowInvalid:
                    del kinds[kind]

    def cast(self, table: pa.Table) -> pa.Table:
        """The rows with dates in these columns, of the first kind that fits all."""
        for name, kinds in self._kinds.items():
            kind, odd = next(iter(kinds.items()), (None, True))
            if not odd:
                place = table.column_names.index(name)
                table = table.set_column(place, name, table[name].cast(kind))
        return table


def with_dates(table: pa.Table, names: Collection[str]) -> pa.Table:
    """The table with these columns as dates where each of their texts is one, as in CSV."""
    dates = Dates(set(table.column_names).difference(names))
    dates.look(table)
    return dates.cast(table)


def without_odd_years(table: pa.Table) -> pa.Table:
    """Dates before the year 1 or after 9999, which Python cannot hold, as the text they were."""
    for place, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if _has_odd_years(column):
            table = table.set_column(place, name, pc.cast(column, pa.string()))
    return table


def odd_years(table: pa.Table) -> list[str]:
    """Columns with dates before the year 1 or after 9999."""
    columns = zip(table.column_names, table.columns, strict=True)
    return [name for name, column in columns if _has_odd_years(column)]


def _has_odd_years(column: pa.ChunkedArray) -> bool:
    if not (pa.types.is_date(column.type) or pa.types.is_timestamp(column.type)):
        return False
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp(column.type.unit))  # no need to know the zone
    first, last = (pc.year(end).as_py() for end in pc.min_max(column).values())
    return first is not None and not 1 <= first <= last <= _LAST_YEAR
