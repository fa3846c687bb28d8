"""The schema check: the whole table against what the config says of each column, at once.

What a rule may repair (`preprocess.wrong_type`, `preprocess.out_of_range`) is no breach here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

from pipeline.core.errors import DataError
from pipeline.preprocess.config import (
    BooleanConfig,
    CategoricalConfig,
    ColumnConfig,
    DatetimeConfig,
    IdConfig,
    NumericConfig,
    PreprocessConfig,
)
from pipeline.preprocess.raw import Mask, Typed, spoken

_KINDS: dict[type, str] = {
    NumericConfig: "a number",
    BooleanConfig: "a truth value",
    DatetimeConfig: "a date in ISO 8601 or in its format",
    CategoricalConfig: "a word or a code",
    IdConfig: "a word or a code",
}


def check(
    typed: Typed, columns: Mapping[str, ColumnConfig], label: str, rules: PreprocessConfig
) -> None:
    """Holds the working table against its schema.

    Args:
        typed: The table.
        columns: Declared columns.
        label: Raw name of the label, for messages.
        rules: What is an error and what is repaired later; how many rows to show.

    Raises:
        DataError: One or more columns break their rules; every rule that is broken is named with
            the number of rows and some of them.
    """
    schema = schema_of(typed, columns, rules)
    try:
        schema.validate(typed.frame, lazy=True)
    except SchemaErrors as broken:
        raise _explained(broken.failure_cases, typed, label, rules) from None


def schema_of(
    typed: Typed, columns: Mapping[str, ColumnConfig], rules: PreprocessConfig
) -> pa.DataFrameSchema:
    """The pandera schema of the working table."""
    checks: dict[str, list[pa.Check]] = {str(name): [] for name in typed.frame.columns}
    for name, found in checks.items():
        how = columns.get(name)
        if rules.wrong_type == "error" and name in typed.wrong:
            found.append(_right_kind(typed.wrong[name], how))
        if how is not None:
            found.extend(_column_checks(how, rules))
    return pa.DataFrameSchema(
        {name: pa.Column(checks=found, nullable=True) for name, found in checks.items()},
        unique_column_names=True,
    )


def _right_kind(wrong: Mask, how: ColumnConfig | None) -> pa.Check:
    meaning = _KINDS.get(type(how), "of the kind that label and split need")
    return pa.Check(
        lambda values: pd.Series(~wrong, index=values.index), error=f"is {meaning}", ignore_na=False
    )


def _column_checks(how: ColumnConfig, rules: PreprocessConfig) -> Iterator[pa.Check]:
    # pandera hides missing values from a check unless told otherwise.
    yield pa.Check(
        lambda values: not _missing(values).all(),
        error="has a value in some row",
        ignore_na=False,
    )
    if how.max_missing_fraction < 1:
        most = how.max_missing_fraction
        yield pa.Check(
            lambda values: bool(_missing(values).mean() <= most),
            error=f"misses at most {most:.4g} of its values",
            ignore_na=False,
        )
    if isinstance(how, CategoricalConfig) and how.allowed:
        yield pa.Check.isin(("", *how.allowed), error=f"is one of {', '.join(how.allowed)}")
    if isinstance(how, NumericConfig) and how.range and rules.out_of_range == "error":
        low, high = how.range
        if low is not None:
            yield pa.Check.ge(low, error=f"is at least {low:g}")
        if high is not None:
            yield pa.Check.le(high, error=f"is at most {high:g}")


def _missing(values: pd.Series[Any]) -> pd.Series[bool]:
    return values.isna() if values.dtype.kind == "f" else values == ""


def _explained(cases: pd.DataFrame, typed: Typed, label: str, rules: PreprocessConfig) -> DataError:
    lines = []
    for (column, rule), broken in cases.groupby(["column", "check"], sort=False):
        rows = broken["index"].dropna().astype(int).sort_values()
        name = spoken(column, label)
        share = f"{_missing(typed.frame[column]).mean():.1%} missing"
        where = _shown(typed.raw[name], rows, rules.shown_rows) if len(rows) else share
        lines.append(f"  '{name}' {rule}: not so in {where}")
    touched = cases["index"].dropna().nunique()
    rows_said = f" in {touched:,} of {len(typed.raw):,} rows" if touched else ""
    return DataError(
        f"the table breaks {len(lines)} rule{'s' * (len(lines) > 1)}{rows_said}\n"
        + "\n".join(lines),
        expected="what data.columns says of each column",
        remedy="correct the source; or correct kind, range, allowed, format or "
        "max_missing_fraction under data.columns; or let preprocess.wrong_type and "
        "preprocess.out_of_range repair it (missing | drop)",
    )


def _shown(values: pd.Series[Any], rows: pd.Series[int], limit: int) -> str:
    first = rows.head(limit)
    # tolist, because it gives Python's own numbers, which print plainly.
    shown = values.iloc[first.to_numpy()].tolist()
    examples = [f"row {row + 1}: {value!r}" for row, value in zip(first, shown, strict=True)]
    more = ", ..." if len(rows) > limit else ""
    return f"{len(rows):,} rows ({', '.join(examples)}{more})"
