"""The second pass over a part: which split each row is in, what is fitted, and what is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.core.features import Label
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.preprocess.arrow_file import tables_file, tables_of
from pipeline.preprocess.categories import as_text
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    HashSplit,
    RandomSplit,
    TimeSplit,
    is_feature,
)
from pipeline.preprocess.label import label_values
from pipeline.preprocess.part_clean import SAMPLED, UNIT, clean_batches, copies
from pipeline.preprocess.parts import Job, Part
from pipeline.preprocess.raw import SPLIT_KEY
from pipeline.preprocess.split import Shared, by_hash, by_time
from pipeline.preprocess.split_random import Places, Ranked
from pipeline.preprocess.summary import LabelSummary, Summary, new_summary
from pipeline.preprocess.summary_cells import Cells, occurring

_PLACE = "__place__"
_DROPPED = -1
_TRAINING = SPLITS.index("train")
_SUMMED_ROWS = 250_000


@dataclass(frozen=True)
class Plan:
    """What the second pass knows of all rows.

    Attributes:
        label: What the label's values mean.
        always: Truth values that no row misses, which are served as bool.
        ranked: Where the places of a random split change; None for the other splits.
    """

    label: Label
    always: frozenset[str]
    ranked: Ranked | None = None


@dataclass
class Divided:
    """What the second pass has seen; mergeable.

    Attributes:
        shared: How the rows were shared.
        summaries: Of the training rows, by column; kinds without a summary are left out.
        label: Of the training rows.
    """

    shared: Shared
    summaries: dict[str, Summary]
    label: LabelSummary

    def merge(self, other: Divided) -> None:
        """Adds what `other` has seen of later rows."""
        self.shared.merge(other.shared)
        for name, summary in self.summaries.items():
            added: Any = other.summaries[name]
            summary.merge(added)
        self.label.merge(other.label)


def kept_rows(job: Job, part: Part, columns: list[str]) -> Iterator[pd.DataFrame]:
    """Some columns of the clean rows of a part that equal no earlier row."""
    for table, kept in _batches(job, part, columns):
        yield table.to_pandas()[kept]


def _batches(
    job: Job, part: Part, columns: list[str] | None
) -> Iterator[tuple[pa.Table, NDArray[np.bool_]]]:
    """Clean rows, and which of them equal no earlier row."""
    dropped = np.empty(0, np.int64)
    if job.config.preprocess.duplicates == "drop":
        dropped = np.sort(copies(job).copies_of(part.index))
    start = 0
    for table in clean_batches(job, part, columns):
        kept = np.ones(table.num_rows, np.bool_)
        low, high = np.searchsorted(dropped, [start, start + table.num_rows])
        kept[dropped[low:high] - start] = False
        start += table.num_rows
        yield table, kept


def label_cells(job: Job, label: Label, part: Part) -> Cells:
    """The numbers of the label."""
    cells = Cells()
    for frame in kept_rows(job, part, [LABEL]):
        cells.add(*occurring(label_values(frame[LABEL], label, job.config.label)))
    return cells


def rank_part(job: Job, label: Label, cuts: NDArray[np.float64] | None, part: Part) -> Ranked:
    """Where the rows of a part stand in a random split."""
    if not isinstance(job.config.split, RandomSplit):
        raise TypeError("only the rows of a random split are ranked")
    ranked = Ranked(job.config.split, cuts)
    for frame in kept_rows(job, part, [LABEL, UNIT]):
        labels = label_values(frame[LABEL], label, job.config.label)
        ranked.add(labels, frame[UNIT].to_numpy())
    return ranked


def no_rows(job: Job, plan: Plan) -> Divided:
    """What is known before any row was seen."""
    summaries = {
        name: new_summary(name, how, always=name in plan.always)
        for name, how in job.columns.items()
    }
    return Divided(
        Shared(),
        {name: one for name, one in summaries.items() if one is not None},
        LabelSummary(len(plan.label.classes)),
    )


def split_part(job: Job, plan: Plan, part: Part) -> Divided:
    """Shares the rows of a part between the splits; writes which is where, and a sample."""
    seen = no_rows(job, plan)
    config = job.config
    training: list[pa.Table] = []
    with ExitStack() as stack:
        write = stack.enter_context(tables_file(job.divided(part)))
        samples = {
            name: stack.enter_context(tables_file(job.sample(name, part))) for name in SPLITS
        }
        for table, kept in _batches(job, part, None):
            keys = table.select([n for n in table.column_names if n.startswith(SPLIT_KEY)])
            frame = keys.to_pandas()
            labels = label_values(table[LABEL].to_pandas(), plan.label, config.label)
            places = np.where(kept, _places(frame, labels, table[UNIT], job, plan), _DROPPED)
            seen.shared.add(frame[kept], places[kept], config.split)
            write(pa.table({_PLACE: places, LABEL: labels}))
            served = _served(table, job.columns, labels, plan.always)
            sampled = np.flatnonzero(table[SAMPLED].to_numpy())
            few = served.take(sampled)
            for place, write_sample in enumerate(samples.values()):
                write_sample(few.filter(pa.array(places[sampled] == place)))
            training.append(served.filter(pa.array(places == _TRAINING)))
            if sum(one.num_rows for one in training) >= _SUMMED_ROWS:
                _summarise(seen, training)
        _summarise(seen, training)
    return seen


def divided_rows(job: Job, plan: Plan, part: Part) -> Iterator[tuple[pa.Table, Places]]:
    """The rows of a part as they are served and which split each is in, once it has been split."""
    both = zip(clean_batches(job, part), tables_of(job.divided(part)), strict=True)
    for table, divided in both:
        labels, places = divided[LABEL].to_numpy(), divided[_PLACE].to_numpy()
        yield _served(table, job.columns, labels, plan.always), places
    for path in (job.clean(part), job.divided(part)):
        path.unlink(missing_ok=True)


def sample(job: Job, name: Split) -> pd.DataFrame:
    """Some rows of a split as they are served, once all parts have been split."""
    tables = [table for part in job.parts for table in tables_of(job.sample(name, part))]
    found: pd.DataFrame = pa.concat_tables(map(as_text, tables)).to_pandas()
    return found


def _places(
    keys: pd.DataFrame, labels: NDArray[Any], units: pa.ChunkedArray, job: Job, plan: Plan
) -> Places:
    match job.config.split:
        case TimeSplit() as how:
            return by_time(keys[SPLIT_KEY + how.column], how)
        case HashSplit() as how:
            return by_hash([keys[SPLIT_KEY + name] for name in how.columns], how)
        case RandomSplit():
            if plan.ranked is None:
                raise ValueError("a random split needs ranks")
            return plan.ranked.places(labels, units.to_numpy())


def _served(
    table: pa.Table,
    columns: Mapping[str, ColumnConfig],
    labels: NDArray[Any],
    always: frozenset[str],
) -> pa.Table:
    """The columns as they are served, those that are no features last, and the label."""
    made = {
        name: table[name].cast(pa.bool_())
        if isinstance(how, BooleanConfig) and name in always
        else table[name]
        for name, how in sorted(columns.items(), key=lambda one: not is_feature(one[1]))
    }
    return pa.table({**made, LABEL: pa.array(labels)})


def _summarise(seen: Divided, waiting: list[pa.Table]) -> None:
    """Adds the training rows that wait; many at once, since uniting summaries has its price."""
    if not waiting:
        return
    train = pa.concat_tables(waiting)
    waiting.clear()
    for name, summary in seen.summaries.items():
        summary.add(train[name].to_pandas())
    seen.label.add(train[LABEL].to_numpy())
