"""Left joins that never multiply rows: each main row finds one partner row or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import DataError, nearest
from pipeline.core.records import FileFacts
from pipeline.ingest.config import JoinConfig
from pipeline.ingest.match import NONE, Codes, Equal, Events, Keys, Latest
from pipeline.ingest.rows import Rows


class LeftJoin:
    """Adds a partner's columns to the main table, batch by batch.

    A key with a missing part has no partner. Row order and row count stay.

    Args:
        main: Names and types of the table that keeps all its rows.
        partner: The table joined, which is held in memory.
        name: What the join is called in the config.
        join: Key, columns, prefix, and what else the config says.

    Attributes:
        schema: Names and types of the wider table.

    Raises:
        DataError: A column is missing, exists already or is of another type than its partner,
            or several partner rows have the same key.
    """

    def __init__(self, main: pa.Schema, partner: pa.Table, name: str, join: JoinConfig) -> None:
        self._join = join
        self._rows = self._matched = 0
        left_key, right_key = join.key or join.left_key, join.key or join.right_key
        _require(main.names, asked_of_main(join), "the main table")
        needed = partner_columns(partner.column_names, name, join)
        wanted = join.columns or [one for one in needed if one not in known_by(join)]
        partner = partner.select(needed)
        try:
            partner = _prepared(partner, known_by(join), join)
        except pa.ArrowException as error:
            raise DataError(
                f"the joined table '{name}' cannot be clipped or aggregated: {error}",
                expected="numbers in the columns named",
                remedy=f"name only columns of numbers under columns of the join '{name}'",
            ) from error
        self._keys = Keys(partner, right_key, main, left_key, name)
        self._find: Equal | Latest
        if join.before is None:
            _require_unique(self._keys.codes, partner, right_key, name)
            self._find = Equal(self._keys.codes)
        else:
            moment = join.before.right_column or join.before.column
            events = Events.of(self._keys.codes, partner[moment], moment)
            self._find = Latest(events, join.before)
            _require_unique(self._find.identity, partner, known_by(join), name)
        self._brought = {f"{join.prefix}{one}": partner[one].combine_chunks() for one in wanted}
        self.schema = main
        for column, values in self._brought.items():
            self._add(column, values.type, name)
        if join.before and join.before.age:
            self._add(self._age, pa.float64(), name)

    @property
    def matched_fraction(self) -> float:
        """Share of the rows that found a partner so far, 0 to 1."""
        return self._matched / max(self._rows, 1)

    def __call__(self, main: pa.Table) -> pa.Table:
        """Widens a batch."""
        codes, hours = self._keys.of(main), None
        if isinstance(self._find, Latest):
            column = self._find.before.column
            rows, hours = self._find.rows(Events.of(codes, main[column], column))
        else:
            rows = self._find.rows(codes)
        self._rows += len(rows)
        self._matched += int(np.count_nonzero(rows != NONE))
        taken = pa.array(rows, mask=rows == NONE)
        columns = [*main.columns, *(values.take(taken) for values in self._brought.values())]
        if self._join.before and self._join.before.age:
            columns.append(pa.array(hours, from_pandas=True))
        return pa.table(columns, schema=self.schema)

    @property
    def _age(self) -> str:
        return f"{self._join.prefix}hours_ago"

    def _add(self, column: str, kind: pa.DataType, name: str) -> None:
        if column in self.schema.names:
            raise DataError(
                f"the join '{name}' brings a second column '{column}'",
                expected="names that the table does not have yet",
                remedy=f"set prefix of the join '{name}', or name under columns what to bring",
            )
        self.schema = self.schema.append(pa.field(column, kind))


class Joined:
    """Joins one after another; each sees the columns that those before it brought.

    Args:
        main: Names and types of the main table.

    Attributes:
        schema: Names and types of the widest table.
        facts: What was read of each partner.
    """

    def __init__(self, main: pa.Schema) -> None:
        self.schema = main
        self.facts: dict[str, FileFacts] = {}
        self._joins: dict[str, LeftJoin] = {}

    def add(self, name: str, join: JoinConfig, partner: Rows) -> None:
        """Adds a join; of the partner, the columns that are needed come into memory.

        Raises:
            DataError: It does not fit.
        """
        columns = partner_columns(partner.schema.names, name, join)
        self._joins[name] = LeftJoin(self.schema, partner.table(columns), name, join)
        self.schema = self._joins[name].schema
        self.facts[name] = partner.facts

    def widen(self, main: pa.Table) -> pa.Table:
        """A batch with the columns of all partners."""
        for join in self._joins.values():
            main = join(main)
        return main

    @property
    def matched_fraction(self) -> dict[str, float]:
        """Share of the rows that found a partner, by join, 0 to 1."""
        return {name: round(join.matched_fraction, 6) for name, join in self._joins.items()}


def asked_of_main(join: JoinConfig) -> tuple[str, ...]:
    """Columns of the main table by which partners are found."""
    return (*(join.key or join.left_key), *((join.before.column,) if join.before else ()))


def known_by(join: JoinConfig) -> tuple[str, ...]:
    """Columns of the joined table by which its rows are told apart."""
    moment = (join.before.right_column or join.before.column,) if join.before else ()
    return (*(join.key or join.right_key), *moment)


def partner_columns(known: Sequence[str], name: str, join: JoinConfig) -> list[str]:
    """The columns of the joined table that are needed, the key first.

    Raises:
        DataError: One is not among `known`.
    """
    wanted = join.columns or tuple(one for one in known if one not in known_by(join))
    _require(known, (*known_by(join), *wanted, *join.clip), f"the joined table '{name}'")
    return list(dict.fromkeys((*known_by(join), *wanted)))


def _require(known: Sequence[str], columns: Sequence[str], where: str) -> None:
    for column in columns:
        if column not in known:
            near = nearest(column, known)
            raise DataError(
                f"{where} has no column '{column}'",
                expected=f"it among {', '.join(known[:40])}",
                remedy=f"did you mean {' or '.join(near)}?" if near else "correct the join",
            )


def _prepared(partner: pa.Table, key: Sequence[str], join: JoinConfig) -> pa.Table:
    """Clips numbers, then makes one row of those known by the same values."""
    for column, (low, high) in join.clip.items():
        values = partner[column].cast(pa.float64())
        # min and max skip nulls unless told otherwise, which would turn missing into the bound.
        if low is not None:
            values = pc.max_element_wise(values, low, skip_nulls=False)
        if high is not None:
            values = pc.min_element_wise(values, high, skip_nulls=False)
        partner = partner.set_column(partner.column_names.index(column), column, values)
    if join.aggregate is None:
        return partner
    names = [column for column in partner.column_names if column not in key]
    # One thread: sums of floating-point numbers depend on the order of adding.
    groups = partner.group_by(list(key), use_threads=False)
    made = groups.aggregate([(column, join.aggregate) for column in names])
    named = [*key, *(f"{column}_{join.aggregate}" for column in names)]
    return made.select(named).rename_columns([*key, *names])


def _require_unique(codes: Codes, partner: pa.Table, key: Sequence[str], name: str) -> None:
    order = np.argsort(codes, kind="stable")
    repeated = np.flatnonzero((np.diff(codes[order]) == 0) & (codes[order][1:] != NONE))
    if not len(repeated):
        return
    first = partner.select(list(key)).take(order[repeated[:5]]).to_pylist()
    shown = "; ".join(", ".join(f"{k}={v}" for k, v in row.items()) for row in first)
    raise DataError(
        f"the joined table '{name}' has {len(repeated)} rows whose key stands in an earlier row: "
        f"{shown}",
        expected="each key once, so that no row of the main table is multiplied",
        remedy="add a column to the key, or set aggregate: mean, min, max or sum",
    )
