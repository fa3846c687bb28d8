"""What the training rows were like, and how new rows differ from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.encoding import possible
from pipeline.preprocess.check_breaches import examples, shortened
from pipeline.preprocess.clean import missing
from pipeline.preprocess.config import (
    CategoricalConfig,
    ColumnConfig,
    ContractConfig,
    NumericConfig,
    TargetConfig,
)
from pipeline.preprocess.contract_records import Anomaly, AnomalyKind, whole
from pipeline.preprocess.raw import Typed


@dataclass(frozen=True)
class Seen:
    """What one column was like in the training rows.

    Attributes:
        missing_fraction: Share of rows without a value, 0 to 1.
        words: The different words; None for a column of numbers.
        least: Smallest number; None for a column of words or without any number.
        most: Largest number.
        always: Whether it is served as a truth value that is never missing.
    """

    missing_fraction: float
    words: frozenset[str] | None = None
    least: float | None = None
    most: float | None = None
    always: bool = False

    @classmethod
    def of(cls, values: pd.Series[Any]) -> Seen:
        """From a column of the processed training split, in served dtypes."""
        if values.dtype == np.bool_:
            return cls(0.0, always=True)
        gone = missing(values)
        share = float(gone.mean()) if len(gone) else 0.0
        if values.dtype.kind != "f":
            return cls(share, words=frozenset(values[~gone].unique()))
        if gone.all():
            return cls(share)
        return cls(share, least=float(values.min()), most=float(values.max()))


@dataclass(frozen=True)
class Training:
    """What is remembered of the last run.

    Attributes:
        columns: Each feature column.
        raw_columns: Every column of the raw table, whether it took part or not.
        classes: Of the label; none for a regression.
    """

    columns: Mapping[str, Seen] = field(default_factory=dict)
    raw_columns: frozenset[str] = frozenset()
    classes: tuple[str, ...] = ()


def unexpected(
    name: str, typed: Typed, how: ColumnConfig, seen: Seen, thresholds: ContractConfig
) -> Iterator[Anomaly]:
    """How one column differs from what training saw of it."""
    values, rows = typed.frame[name], len(typed.raw)
    gone = missing(values)
    share = float(gone.mean()) if rows else 0.0
    if seen.always and gone.any():
        said = "was never missing in training: the served model refuses such rows"
        yield _rows("never_missing", name, typed, np.flatnonzero(gone), said)
    elif share > seen.missing_fraction + thresholds.missing_increase:
        said = f"is missing in {share:.1%} of the rows, in training in {seen.missing_fraction:.1%}"
        yield whole("more_missing", name, said, rows=int(gone.sum()), of=rows)
    if seen.words is not None and isinstance(how, CategoricalConfig | TargetConfig):
        yield from _new_words(name, typed, seen.words, thresholds)
    if seen.least is not None and seen.most is not None and isinstance(how, NumericConfig):
        numbers = values.to_numpy(dtype=np.float64)
        # What lies outside `range` is told of already.
        real = possible(numbers, *(how.range or (None, None)))
        beyond = np.flatnonzero(real & ((numbers < seen.least) | (numbers > seen.most)))
        if len(beyond) > thresholds.beyond_fraction * rows:
            said = f"lies beyond what training saw, {seen.least:g} to {seen.most:g}"
            yield _rows("beyond_training", name, typed, beyond, said)


def _new_words(
    name: str, typed: Typed, words: frozenset[str], thresholds: ContractConfig
) -> Iterator[Anomaly]:
    values = typed.frame[name]
    counts = values[values != ""].value_counts()
    new = counts[~counts.index.isin(words)]
    rows = int(new.sum())
    if rows > thresholds.new_words_fraction * len(values):
        yield Anomaly(
            kind="new_words",
            severity="warning",
            column=name,
            rows=rows,
            fraction=rows / len(values),
            text=f"{len(new):,} words that training never saw, in {rows:,} rows",
            examples=tuple(
                f"{shortened(repr(word))}: {count:,} rows" for word, count in new.head(5).items()
            ),
        )


def _rows(
    kind: AnomalyKind, name: str, typed: Typed, rows: NDArray[np.int64], said: str
) -> Anomaly:
    return Anomaly(
        kind=kind,
        severity="warning",
        column=name,
        rows=len(rows),
        fraction=len(rows) / len(typed.raw),
        text=f"{said} ({len(rows):,} rows)",
        examples=tuple(examples(typed.raw[name], rows, 5)),
    )
