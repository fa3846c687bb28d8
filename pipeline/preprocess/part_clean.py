"""The first pass over a part: types, check, cleaning, hashes; clean rows go to disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.core.records import LABEL
from pipeline.preprocess.arrow_file import tables_file, tables_of
from pipeline.preprocess.categories import as_dictionaries
from pipeline.preprocess.check import repairs_types
from pipeline.preprocess.clean import Done, clean_rows, missing
from pipeline.preprocess.config import BooleanConfig, ColumnConfig, IdConfig, RandomSplit
from pipeline.preprocess.copies import Buckets
from pipeline.preprocess.label import LabelSeen
from pipeline.preprocess.parts import Job, Part, raw_batches
from pipeline.preprocess.raw import typed_table
from pipeline.preprocess.row_hash import Hashes, hash_rows, hash_words, together
from pipeline.preprocess.stream_check import BatchCheck

UNIT = "__unit__"
"""Column of the working copy: rows with equal numbers stay together in a random split."""
SAMPLED = "__sampled__"
"""Column of the working copy: whether the row is in the sample."""


@dataclass
class Cleaned:
    """What the first pass has seen; mergeable.

    Attributes:
        check: The check of the rows.
        done: What each cleaning rule did.
        missed: Columns of truth values that miss one in some row.
        label: The labels.
        rows: Clean rows.
    """

    check: BatchCheck
    done: list[Done] = field(default_factory=list)
    missed: set[str] = field(default_factory=set)
    label: LabelSeen = field(default_factory=LabelSeen)
    rows: int = 0

    def merge(self, other: Cleaned, columns: Mapping[str, ColumnConfig]) -> None:
        """Adds what `other` has seen of later rows."""
        self.check.merge(other.check)
        self._add(other.done, columns)
        self.missed |= other.missed
        self.label.merge(other.label)
        self.rows += other.rows

    def look(self, frame: pd.DataFrame, done: list[Done], job: Job) -> None:
        """Adds a batch of clean rows."""
        self._add(done, job.columns)
        truths = (name for name, how in job.columns.items() if isinstance(how, BooleanConfig))
        self.missed |= {name for name in truths if missing(frame[name]).any()}
        self.label.add(frame[LABEL])
        self.rows += len(frame)

    def _add(self, done: list[Done], columns: Mapping[str, ColumnConfig]) -> None:
        if not done or not self.done:
            self.done = self.done or list(done)
            return
        pairs = zip(self.done, done, strict=True)
        self.done = [_both(one, other, list(columns)) for one, other in pairs]


def _both(one: Done, other: Done, columns: list[str]) -> Done:
    """What a rule did to both; its columns in the order of the table."""
    named = {*one.columns, *other.columns}
    known = [column for column in columns if column in named]
    ordered = (*known, *sorted(named - set(known)))
    return replace(one, rows=one.rows + other.rows, columns=ordered)


def copies(job: Job) -> Buckets:
    """Where the hashes of the clean rows go."""
    return Buckets(job.scratch, "rows", job.buckets, len(job.parts))


def keys(job: Job, column: str) -> Buckets:
    """Where the hashes of a unique id go."""
    place = list(job.columns).index(column)
    return Buckets(job.scratch, f"key{place}", job.buckets, len(job.parts))


def unique_ids(job: Job) -> list[str]:
    """Columns of which no value may stand in two rows."""
    return [n for n, how in job.columns.items() if isinstance(how, IdConfig) and how.unique]


def nothing_cleaned(job: Job) -> Cleaned:
    """What is known before any row was seen."""
    both = repairs_types(job.config.preprocess)
    return Cleaned(BatchCheck(job.config, job.columns, wrong_is_missing=both))


def clean_part(job: Job, part: Part) -> Cleaned:
    """Checks and cleans the rows of a part; writes the clean ones and their hashes.

    Raises:
        DataError: A label is missing where that is an error.
    """
    config = job.config
    seen = nothing_cleaned(job)
    ids: dict[str, list[pd.Series[Any]]] = {name: [] for name in unique_ids(job)}
    hashes: list[Hashes] = []
    with tables_file(job.clean(part)) as write:
        for raw in raw_batches(job, part):
            typed = typed_table(raw.reset_index(drop=True), config, job.words)
            seen.check.look(typed, int(raw.index[0]) if len(raw) else part.start)
            typed.frame.index = raw.index
            for name, found in ids.items():
                found.append(_ids(typed.frame[name], part))
            cleaning = clean_rows(typed, job.columns, config.label.column, config.preprocess)
            frame = cleaning.frame
            seen.look(frame, cleaning.done, job)
            made = hash_rows(frame) if _needs_hashes(job) else np.zeros(len(frame), np.uint64)
            hashes.append(made)
            sampled = frame.index.to_numpy() % job.step == 0
            units = made if config.group is None else together(frame, config.group)
            write(as_dictionaries(frame.assign(**{UNIT: units, SAMPLED: sampled})))
    if config.preprocess.duplicates == "drop":
        found_hashes = np.concatenate([*hashes, np.empty(0, np.uint64)])
        copies(job).sort_in(part.index, np.arange(len(found_hashes)), found_hashes)
    for name, found in ids.items():
        whole = pd.concat(found) if found else pd.Series(dtype="uint64")
        keys(job, name).sort_in(part.index, whole.index.to_numpy(), whole.to_numpy(np.uint64))
    return seen


def _ids(words: pd.Series[Any], part: Part) -> pd.Series[Any]:
    """Hashes of the values that are there, by the row's number in the part."""
    present = words[words != ""]
    return pd.Series(hash_words(present), index=present.index - part.start)


def _needs_hashes(job: Job) -> bool:
    return job.config.preprocess.duplicates == "drop" or isinstance(job.config.split, RandomSplit)


def clean_batches(job: Job, part: Part, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """The clean rows of a part again, or some of their columns."""
    return tables_of(job.clean(part), columns)
