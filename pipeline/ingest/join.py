"""Left joins that never multiply rows: each main row finds one partner row or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.core.errors import DataError, nearest
from pipeline.ingest.config import JoinConfig
from pipeline.ingest.match import NONE, Codes, Events, equal_rows, key_codes, latest_rows


def left_join(
    main: pa.Table, partner: pa.Table, name: str, join: JoinConfig
) -> tuple[pa.Table, float]:
    """Adds the partner's columns to the main table.

    A key with a missing part has no partner. Row order and row count of `main` stay.

    Args:
        main: The table that keeps all its rows.
        partner: The table joined.
        name: What the join is called in the config.
        join: Key, columns, prefix, and what else the config says.

    Returns:
        The wider table, and the share of rows that found a partner, 0 to 1.

    Raises:
        DataError: A column is missing, exists already or is of another type than its partner,
            or several partner rows have the same key.
    """
    left_key, right_key = join.key or join.left_key, join.key or join.right_key
    moment = (join.before.right_column or join.before.column) if join.before else None
    known_by = (*right_key, moment) if moment else right_key
    _require(main, (*left_key, *([join.before.column] if join.before else [])), "the main table")
    wanted = join.columns or tuple(c for c in partner.column_names if c not in known_by)
    _require(partner, (*known_by, *wanted, *join.clip), f"the joined table '{name}'")
    partner = partner.select(list(dict.fromkeys((*known_by, *wanted))))
    try:
        partner = _prepared(partner, known_by, join)
    except pa.ArrowException as error:
        raise DataError(
            f"the joined table '{name}' cannot be clipped or aggregated: {error}",
            expected="numbers in the columns named",
            remedy=f"name only columns of numbers under columns of the join '{name}'",
        ) from error
    left, right = key_codes(main, left_key, partner, right_key, name)
    if join.before is None or moment is None:
        _require_unique(right, partner, known_by, name)
        rows, hours = equal_rows(left, right), None
    else:
        ours = Events.of(left, main[join.before.column], join.before.column)
        theirs = Events.of(right, partner[moment], moment)
        _require_unique(theirs.identity(*theirs.range()), partner, known_by, name)
        rows, hours = latest_rows(ours, theirs, join.before)
    brought = {f"{join.prefix}{column}": _taken(partner[column], rows) for column in wanted}
    if join.before and join.before.age:
        brought[f"{join.prefix}hours_ago"] = pa.array(hours, from_pandas=True)
    return _widened(main, brought, name), float(np.mean(rows != NONE))


def _taken(column: pa.ChunkedArray, rows: Codes) -> pa.Array:
    return column.combine_chunks().take(pa.array(rows, mask=rows == NONE))


def _widened(main: pa.Table, brought: Mapping[str, pa.Array], name: str) -> pa.Table:
    for column, values in brought.items():
        if column in main.column_names:
            raise DataError(
                f"the join '{name}' brings a second column '{column}'",
                expected="names that the table does not have yet",
                remedy=f"set prefix of the join '{name}', or name under columns what to bring",
            )
        main = main.append_column(column, values)
    return main


def _require(table: pa.Table, columns: Sequence[str], where: str) -> None:
    for column in columns:
        if column not in table.column_names:
            near = nearest(column, table.column_names)
            raise DataError(
                f"{where} has no column '{column}'",
                expected=f"it among {', '.join(table.column_names[:40])}",
                remedy=f"did you mean {' or '.join(near)}?" if near else "correct the join",
            )


def _prepared(partner: pa.Table, known_by: Sequence[str], join: JoinConfig) -> pa.Table:
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
    names = [column for column in partner.column_names if column not in known_by]
    # One thread: sums of floating-point numbers depend on the order of adding.
    groups = partner.group_by(list(known_by), use_threads=False)
    made = groups.aggregate([(column, join.aggregate) for column in names])
    named = [*known_by, *(f"{column}_{join.aggregate}" for column in names)]
    return made.select(named).rename_columns([*known_by, *names])


def _require_unique(codes: Codes, partner: pa.Table, known_by: Sequence[str], name: str) -> None:
    order = np.argsort(codes, kind="stable")
    repeated = np.flatnonzero((np.diff(codes[order]) == 0) & (codes[order][1:] != NONE))
    if not len(repeated):
        return
    first = partner.select(list(known_by)).take(order[repeated[:5]]).to_pylist()
    shown = "; ".join(", ".join(f"{k}={v}" for k, v in row.items()) for row in first)
    raise DataError(
        f"the joined table '{name}' has {len(repeated)} rows whose key stands in an earlier row: "
        f"{shown}",
        expected="each key once, so that no row of the main table is multiplied",
        remedy="add a column to the key, or set aggregate: mean, min, max or sum",
    )
