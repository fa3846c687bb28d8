"""Reads the raw columns that take part, each as what its kind says, and marks what does not fit.

The working table has one column for each declared column, `LABEL` for the raw label, and one
`SPLIT_KEY` column for each column the split looks at. Rows keep their number in the raw table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import pandas as pd
from pyarrow import parquet

from pipeline.core.artifacts import Table, require
from pipeline.core.errors import DataError, nearest
from pipeline.core.records import LABEL
from pipeline.preprocess.config import (
    ColumnConfig,
    DatetimeConfig,
    HashSplit,
    IdConfig,
    LabelConfig,
    NumericConfig,
    PreprocessStageConfig,
    SplitConfig,
    TimeSplit,
)
from pipeline.preprocess.raw_values import Mask, category_values, typed_values

SPLIT_KEY = "__split__."
"""Stands before the name of a raw column that the split looks at."""


@dataclass(frozen=True)
class Typed:
    """The raw table brought to types.

    Attributes:
        raw: The columns as they came.
        frame: The working table: numbers and truth values float64 with NaN, the rest `str` with
            '' for missing; index 0, 1, 2, ...
        wrong: For each column that holds values of another kind, which rows; they count as
            missing in `frame`. By the name of the working table.
    """

    raw: pd.DataFrame
    frame: pd.DataFrame
    wrong: Mapping[str, Mask]


def read_typed(table: Table, config: PreprocessStageConfig) -> Typed:
    """Reads the declared columns, the label and what the split needs.

    Raises:
        DataError: A column is not in the table; names the nearest ones.
        PipelineError: The table is missing or damaged.
    """
    return typed_table(table.read(required_columns(table, config)), config)


def count_rows(table: Table) -> int:
    """Rows of the table, from the end of its file; 0 where that says nothing."""
    require(table.path)
    try:
        return int(parquet.read_metadata(table.path).num_rows)
    except (OSError, ValueError):
        return 0  # the reader of the whole table words what is wrong with the file


def typed_table(
    raw: pd.DataFrame, config: PreprocessStageConfig, words: AbstractSet[str] = frozenset()
) -> Typed:
    """Brings `raw` to types; a column that it does not have is left out.

    Args:
        raw: The table.
        config: What its columns are.
        words: Columns of the working table that become categories of `str`.
    """
    frame: dict[str, Any] = {}
    wrong: dict[str, Mask] = {}
    for name, (column, how) in parts(config).items():
        if column not in raw:
            continue
        kept = category_values if name in words else typed_values
        frame[name], odd = kept(raw[column], how)
        if odd.any():
            wrong[name] = odd
    return Typed(raw, pd.DataFrame(frame), wrong)


def feature_columns(
    columns: Mapping[str, ColumnConfig], label: LabelConfig
) -> dict[str, ColumnConfig]:
    """The declared columns less the label, which is never a feature; as an id it is kept."""
    return {
        name: how
        for name, how in columns.items()
        if name != label.column or isinstance(how, IdConfig)
    }


def spoken(name: object, label: str) -> str:
    """The raw column behind a name of the working table."""
    return label if name == LABEL else str(name).removeprefix(SPLIT_KEY)


def parts(config: PreprocessStageConfig) -> dict[str, tuple[str, ColumnConfig | None]]:
    """Raw column and kind of each column of the working table."""
    found: dict[str, tuple[str, ColumnConfig | None]] = {
        name: (name, how) for name, how in feature_columns(config.columns, config.label).items()
    }
    number = config.label.task == "regression" or config.label.threshold is not None
    found[LABEL] = (config.label.column, NumericConfig(kind="numeric") if number else None)
    for name in split_columns(config.split):
        found[SPLIT_KEY + name] = (name, _split_kind(config.split, config.columns.get(name)))
    return found


def split_columns(split: SplitConfig) -> tuple[str, ...]:
    """The raw columns that decide about the split."""
    match split:
        case TimeSplit():
            return (split.column,)
        case HashSplit():
            return split.columns
    return ()


def _split_kind(split: SplitConfig, declared: ColumnConfig | None) -> ColumnConfig | None:
    if not isinstance(split, TimeSplit):
        return None
    if isinstance(split.test_from, float):
        return NumericConfig(kind="numeric")
    odd_text = declared.format if isinstance(declared, DatetimeConfig) else None
    return DatetimeConfig(kind="datetime", format=odd_text)


def required_columns(table: Table, config: PreprocessStageConfig) -> list[str]:
    """The raw columns that take part.

    Raises:
        DataError: One is not in the table; names the nearest ones.
        PipelineError: There is no table.
    """
    require(table.path)
    known = _names(table)
    wanted = {raw: None for raw, _ in parts(config).values()}
    if gone := [name for name in wanted if name not in known]:
        raise DataError(
            f"the table has no column {', '.join(map(repr, gone))}",
            expected=f"{'it' if len(gone) == 1 else 'them'} among {', '.join(known[:60])}",
            remedy=_rename_advice(gone, [name for name in known if name not in wanted]),
        )
    return list(wanted)


def _rename_advice(gone: Iterable[str], free: list[str]) -> str:
    near = {name: nearest(name, free) for name in gone}
    renamed = [f"{name} to {' or '.join(names)}" for name, names in near.items() if names]
    if renamed:
        return f"was a column renamed ({'; '.join(renamed)})? Then rename it under data.columns"
    return "bring the column back, or remove it from data.columns, data.label and data.split"


def _names(table: Table) -> list[str]:
    try:
        names: list[str] = parquet.read_schema(table.path).names
    except (OSError, ValueError):
        # The reader of the whole table words what is wrong with the file.
        names = [str(name) for name in table.read().columns]
    return names
