"""What the training rows were like, and how new rows differ from that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.encoding import possible
from pipeline.preprocess.check_breaches import examples
from pipeline.preprocess.clean import missing, without_value
from pipeline.preprocess.config import (
    CategoricalConfig,
    ColumnConfig,
    NumericConfig,
    PreprocessConfig,
    TargetConfig,
)
from pipeline.preprocess.contract_records import Anomaly, AnomalyKind, commonest, whole
from pipeline.preprocess.raw import Typed
from pipeline.preprocess.summary_words import Words

_SHOWN = 5


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


class Unexpected:
    """How one column differs from what training saw of it, batch by batch.

    Args:
        name: The column.
        how: What is declared of it.
        seen: What training saw.
        rules: Thresholds, and whether values of another kind are told of by themselves.
    """

    def __init__(self, name: str, how: ColumnConfig, seen: Seen, rules: PreprocessConfig) -> None:
        self._name = name
        self._how = how
        self._seen = seen
        self._rules = rules
        self._gone, self._beyond = _Some(), _Some()
        self._new = Words(name)

    def look(self, typed: Typed, offset: int) -> None:
        """Looks at a batch whose first row has the number `offset` in the table, from 0."""
        values, raw, seen = typed.frame[self._name], typed.raw[self._name], self._seen
        wrong_too = self._rules.wrong_type != "error"
        self._gone.add(without_value(typed, self._name, wrong_too=wrong_too), raw, offset)
        if seen.words is not None and isinstance(self._how, CategoricalConfig | TargetConfig):
            new = [word for word in values.unique() if word and word not in seen.words]
            self._new.add(values[values.isin(new)])
        if seen.least is not None and isinstance(self._how, NumericConfig):
            numbers = values.to_numpy(dtype=np.float64)
            # What lies outside `range` is told of already.
            real = possible(numbers, *(self._how.range or (None, None)))
            self._beyond.add(real & ((numbers < seen.least) | (numbers > seen.most)), raw, offset)

    def found(self, of: int) -> Iterator[Anomaly]:
        """The differences in all `of` rows."""
        seen, name, thresholds = self._seen, self._name, self._rules.contract
        share = self._gone.rows / of if of else 0.0
        if seen.always and self._gone.rows:
            said = "was never missing in training: the served model refuses such rows"
            yield self._gone.told("never_missing", name, said, of)
        elif share > seen.missing_fraction + thresholds.missing_increase:
            before = seen.missing_fraction
            said = f"is missing in {share:.1%} of the rows, in training in {before:.1%}"
            yield whole("more_missing", name, said, rows=self._gone.rows, of=of)
        if (rows := self._new.present) > thresholds.new_words_fraction * of:
            yield Anomaly(
                kind="new_words",
                severity="warning",
                column=name,
                rows=rows,
                fraction=rows / of,
                text=f"{self._new.distinct:,} words that training never saw, in {rows:,} rows",
                examples=commonest(self._new, _SHOWN),
            )
        if self._beyond.rows > thresholds.beyond_fraction * of:
            said = f"lies beyond what training saw, {seen.least:g} to {seen.most:g}"
            yield self._beyond.told("beyond_training", name, said, of)


@dataclass
class _Some:
    """Rows of which something is true, and the first of them for people."""

    rows: int = 0
    shown: list[str] = field(default_factory=list)

    def add(self, mask: NDArray[np.bool_], raw: pd.Series[Any], offset: int) -> None:
        rows = np.flatnonzero(mask)
        self.rows += len(rows)
        self.shown += examples(raw, rows, _SHOWN - len(self.shown), offset)

    def told(self, kind: AnomalyKind, name: str, said: str, of: int) -> Anomaly:
        return Anomaly(
            kind=kind,
            severity="warning",
            column=name,
            rows=self.rows,
            fraction=self.rows / of,
            text=f"{said} ({self.rows:,} rows)",
            examples=tuple(self.shown),
        )
