"""The stream engine: two passes over the parts of a table, by any number of workers.

The first pass checks and cleans each part and writes a working copy. The second pass shares the
rows between the splits, and sums up what features are fitted on, while the splits are written.
Workers keep a batch of rows in memory; what they hand back are summaries, whose size does not grow
with the rows. Between the passes copies are sought by their hashes on disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np

from pipeline.core.artifacts import STATE
from pipeline.core.features import Label
from pipeline.preprocess.check_breaches import examples
from pipeline.preprocess.clean import DUPLICATES_NOTE, Done, refuse_no_rows
from pipeline.preprocess.config import (
    BooleanConfig,
    RandomSplit,
)
from pipeline.preprocess.label import decided
from pipeline.preprocess.part_clean import (
    Cleaned,
    clean_part,
    copies,
    keys,
    nothing_cleaned,
    unique_ids,
)
from pipeline.preprocess.part_split import (
    Divided,
    Plan,
    divided_rows,
    label_cells,
    no_rows,
    rank_part,
    split_part,
)
from pipeline.preprocess.parts import Job, raw_batches
from pipeline.preprocess.split_files import SplitFiles
from pipeline.preprocess.split_random import Ranked, tenths
from pipeline.preprocess.stream_check import BatchCheck
from pipeline.preprocess.workers import Workers


@contextmanager
def scratch_folder(root: Path) -> Iterator[Path]:
    """An empty folder for working copies, removed at the end; a killed run's is removed first."""
    folder = root / STATE / "stream"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def first_pass(job: Job, workers: Workers) -> Cleaned:
    """Checks and cleans all rows, and drops copies.

    Raises:
        DataError: The table breaks its schema, a label is missing where that is an error, or no
            row is left.
    """
    whole = nothing_cleaned(job)
    for seen in workers.map(partial(clean_part, job), job.parts):
        whole.merge(seen, job.columns)
    for name in unique_ids(job):
        _look_for_repeated(name, job, workers, whole.check)
    whole.check.refuse()
    refuse_no_rows(whole.rows, whole.done)
    if job.config.preprocess.duplicates == "drop":
        found = sum(workers.map(copies(job).find_in, range(job.buckets)))
        whole.done.append(Done("duplicates", found, DUPLICATES_NOTE))
        whole.rows -= found
    return whole


def _look_for_repeated(name: str, job: Job, workers: Workers, check: BatchCheck) -> None:
    shown = job.config.preprocess.shown_rows
    look = partial(keys(job, name).repeated_in, shown=shown)
    found = list(workers.map(look, range(job.buckets)))
    rows = sum(count for count, _ in found)
    if rows:
        first = sorted(place for _, places in found for place in places)[:shown]
        check.repeated(name, rows, [_example(job, name, *place) for place in first])


def _example(job: Job, name: str, part: int, row: int) -> str:
    """What stands in the raw table, for people."""
    number = job.parts[part].start + row
    for raw in raw_batches(job, job.parts[part]):
        if number <= raw.index[-1]:
            place = number - int(raw.index[0])
            return examples(raw[name], np.array([place]), 1, int(raw.index[0]))[0]
    raise ValueError(f"part {part} has no row {row}")


def second_pass(
    job: Job, cleaned: Cleaned, workers: Workers, files: SplitFiles
) -> tuple[Label, Divided]:
    """Shares the rows between the splits, and lets `files` take over each part.

    Raises:
        DataError: One class or value only, or an empty split, is left.
        ConfigError: A bound of a time split is no moment.
    """
    config = job.config
    cleaned.label.rows = cleaned.rows
    label = decided(cleaned.label, config.label)
    always = {
        name
        for name, how in job.columns.items()
        if isinstance(how, BooleanConfig) and name not in cleaned.missed
    }
    plan = Plan(label, frozenset(always), _ranked(job, label, workers))
    whole = no_rows(job, plan)
    found = workers.map(partial(split_part, job, plan), job.parts)
    for part, seen in zip(job.parts, found, strict=True):
        whole.merge(seen)
        files.take(divided_rows(job, plan, part))
    whole.shared.refuse(config.split)
    return label, whole


def _ranked(job: Job, label: Label, workers: Workers) -> Ranked | None:
    """Where the places of a random split change."""
    how = job.config.split
    if not isinstance(how, RandomSplit):
        return None
    cuts = None
    if how.stratify and label.task == "regression":
        cuts = tenths(merged(workers.map(partial(label_cells, job, label), job.parts)))
    return merged(workers.map(partial(rank_part, job, label, cuts), job.parts))


class _Mergeable(Protocol):
    def merge(self, other: Self) -> None: ...


M = TypeVar("M", bound=_Mergeable)


def merged(summaries: Iterable[M]) -> M:
    """One of all, put together in their order."""
    found = iter(summaries)
    whole = next(found)
    for one in found:
        whole.merge(one)
    return whole
