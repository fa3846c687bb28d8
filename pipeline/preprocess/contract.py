"""New rows against the contract: what the config declares, and what training rows were like.

What `data.columns` declares is a rule: a breach is an error, except where a cleaning rule repairs
it. What the training rows were like is an expectation: a difference is a warning. Both are
anomalies, each with its rows counted and shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.errors import nearest
from pipeline.core.records import LABEL
from pipeline.preprocess.check import repairs_types
from pipeline.preprocess.check_breaches import Rule, Told, examples
from pipeline.preprocess.config import IdConfig, PreprocessStageConfig, is_feature
from pipeline.preprocess.contract_label import LabelCheck
from pipeline.preprocess.contract_records import Anomaly, whole
from pipeline.preprocess.contract_training import Training, Unexpected
from pipeline.preprocess.copies import Buckets
from pipeline.preprocess.parts import bucket_count
from pipeline.preprocess.raw import SPLIT_KEY, Typed, feature_columns, parts, spoken, typed_table
from pipeline.preprocess.row_hash import hash_rows, hash_words
from pipeline.preprocess.stream_check import BatchCheck

Batches = Callable[[], Iterable[pd.DataFrame]]
"""The rows in batches, numbered as in the table; can be asked for again."""


def anomalies(
    raw: pd.DataFrame, config: PreprocessStageConfig, training: Training | None
) -> tuple[Anomaly, ...]:
    """Holds a table that is in memory against the contract; arguments as for `Contract`.

    Returns:
        Errors first, then warnings, each in the order of the columns.
    """
    numbered = raw.reset_index(drop=True)
    with TemporaryDirectory(prefix="contract-") as folder:
        contract = Contract(list(map(str, raw.columns)), len(raw), config, training, Path(folder))
        return contract.held(lambda: [numbered])


class Contract:
    """What new rows are held against, batch by batch.

    Args:
        names: All columns of the new rows.
        rows: How many there are.
        config: The data set's columns, label and split, and the cleaning rules.
        training: What the training rows were like; None where there has been no run.
        scratch: Where the hashes go by which copies are found.
    """

    def __init__(
        self,
        names: Sequence[str],
        rows: int,
        config: PreprocessStageConfig,
        training: Training | None,
        scratch: Path,
    ) -> None:
        self._names = names
        self._rows = rows
        self._config = config
        self._training = training
        trained = training or Training()
        features = feature_columns(config.columns, config.label)
        self._features = features
        self._present = {name: how for name, how in features.items() if name in names}
        rules = replace(config.preprocess, wrong_type="error", out_of_range="error")
        # Where a run repairs values of another kind, they count as missing.
        self._check = BatchCheck(
            replace(config, preprocess=rules),
            self._present,
            wrong_is_missing=repairs_types(config.preprocess),
        )
        self._label = LabelCheck(config, trained.classes)
        self._unexpected = [
            Unexpected(name, self._present[name], seen, config.preprocess)
            for name, seen in trained.columns.items()
            if name in self._present
        ]
        unique = [n for n, how in self._present.items() if isinstance(how, IdConfig) and how.unique]
        self._copies = Buckets(scratch, "rows", bucket_count(rows), 0)
        self._ids = {
            name: Buckets(scratch, f"key{place}", bucket_count(rows), 0)
            for place, name in enumerate(unique)
        }

    def held(self, batches: Batches) -> tuple[Anomaly, ...]:
        """Looks at all rows; errors first, then warnings, each in the order of the columns."""
        count = 0
        for raw in batches():
            typed = typed_table(raw.reset_index(drop=True), self._config)
            self._look(typed, int(raw.index[0]) if len(raw) else 0, count)
            count += 1
        for name, ids in self._ids.items():
            self._look_for_repeated(name, replace(ids, parts=count), batches)
        copies = replace(self._copies, parts=count)
        found = [
            *self._absent(),
            *self._declared(),
            *self._label.found(self._rows),
            *self._duplicates(sum(map(copies.find_in, range(copies.count)))),
            *self._undeclared(),
        ]
        for one in self._unexpected:
            found += one.found(self._rows)
        return tuple(sorted(found, key=lambda one: one.severity != "error"))

    def _look(self, typed: Typed, offset: int, part: int) -> None:
        self._check.look(typed, offset)
        self._label.look(typed, offset)
        for one in self._unexpected:
            one.look(typed, offset)
        self._copies.sort_in(part, np.arange(len(typed.frame)), hash_rows(typed.frame))
        for name, ids in self._ids.items():
            words = typed.frame[name]
            rows = np.flatnonzero(words != "")
            ids.sort_in(part, rows, hash_words(words.iloc[rows]))

    def _look_for_repeated(self, name: str, hashes: Buckets, batches: Batches) -> None:
        """Notes the values of a unique id that stand in several rows."""
        shown = self._config.preprocess.shown_rows
        found = [hashes.repeated_in(bucket, shown) for bucket in range(hashes.count)]
        places = sorted(place for _, first in found for place in first)[:shown]
        told: list[str] = []
        for part, raw in enumerate(batches() if places else ()):
            rows: NDArray[np.int64] = np.array([row for at, row in places if at == part], np.int64)
            told += examples(raw[name], rows, shown, int(raw.index[0]) if len(raw) else 0)
        if rows_found := sum(count for count, _ in found):
            self._check.repeated(name, rows_found, told)

    def _absent(self) -> Iterator[Anomaly]:
        rows, config = self._rows, self._config
        for name in dict.fromkeys(column for column, _ in parts(config).values()):
            if name in self._names:
                continue
            near = nearest(name, [one for one in self._names if one not in config.columns])
            renamed = f"; was it renamed to {' or '.join(map(repr, near))}?" if near else ""
            if name in self._features and is_feature(self._features[name]):
                said = f"is not in the table{renamed}"
                yield whole("missing_column", name, said, rows=rows, of=rows, severity="error")
            else:
                said = f"is not in the table: these rows can be served, not learned from{renamed}"
                yield whole("missing_column", name, said, rows=rows, of=rows)

    def _declared(self) -> Iterator[Anomaly]:
        """Rules that are broken; what a cleaning rule repairs counts as a warning."""
        rules = self._config.preprocess
        repaired = {"wrong_type": rules.wrong_type, "out_of_range": rules.out_of_range}
        seen: set[tuple[str, str]] = set()
        for column, rule, told in self._check.found():
            name = spoken(column, self._config.label.column)
            # The label and the split look at their columns once more, in their own way.
            if (name, rule) in seen and column in {LABEL, SPLIT_KEY + name}:
                continue
            seen.add((name, rule))
            repair = _REPAIRS.get(repaired.get(rule, "error"), "")
            yield self._breach(column, name, rule, told, repair)

    def _breach(self, column: str, name: str, rule: Rule, told: Told, repair: str) -> Anomaly:
        rows = self._check.gone(column) if told.rows is None else told.rows
        return Anomaly(
            kind=rule,
            severity="warning" if repair else "error",
            column=name,
            rows=rows,
            fraction=rows / self._rows,
            text=f"{told.said}: not so in {rows:,} of {self._rows:,} rows{repair}",
            examples=() if told.rows is None else told.shown,
        )

    def _duplicates(self, copies: int) -> Iterator[Anomaly]:
        share = copies / self._rows if self._rows else 0.0
        if share > self._config.preprocess.contract.duplicates_fraction:
            yield Anomaly(
                kind="duplicates",
                severity="warning",
                column=None,
                rows=copies,
                fraction=share,
                text=f"{copies:,} rows equal an earlier one in every declared column",
            )

    def _undeclared(self) -> Iterator[Anomaly]:
        if self._training is None:
            return
        known = {*self._config.columns, self._config.label.column, *self._training.raw_columns}
        for name in self._names:
            if name not in known:
                said = "is new: neither declared nor in the last raw table; it is ignored"
                yield whole("new_column", name, said, rows=self._rows, of=self._rows)


_REPAIRS = {"missing": "; it counts as missing", "drop": "; training drops such rows"}
