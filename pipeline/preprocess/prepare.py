"""From the raw table to clean rows, labelled and shared between the splits: two engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.artifacts import Artifacts, Table
from pipeline.core.console import say
from pipeline.core.errors import DataError
from pipeline.core.features import FeatureSet, Label
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.core.table import as_served
from pipeline.preprocess.check import check
from pipeline.preprocess.clean import Cleaning, clean, missing
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    Engine,
    PreprocessStageConfig,
    RandomSplit,
)
from pipeline.preprocess.label import Labelled, make_label
from pipeline.preprocess.parts import planned, sample_step
from pipeline.preprocess.profile_records import CleaningStep
from pipeline.preprocess.raw import count_rows, read_typed
from pipeline.preprocess.row_hash import Hashes, together
from pipeline.preprocess.split import assign
from pipeline.preprocess.summary import LabelSummary
from pipeline.preprocess.target_means import OutOfFold
from pipeline.preprocess.training_rows import FileRows, FrameRows, Rows

Advance = Callable[[float, str], None]
"""Moves the progress bar on."""

Samples = Mapping[Split, pd.DataFrame]
"""Some rows of each split, evenly spaced in the raw table."""


@dataclass(frozen=True)
class Prepared:
    """Clean rows, labelled and shared between the splits.

    Attributes:
        train: The training rows.
        samples: What leaks, drift and the profile are looked for in.
        rows: Rows of each split.
        label: What the label's values mean.
        label_seen: What is remembered of the training rows' label.
        steps: What each cleaning rule did.
        write: Writes the splits as they are served into a folder, with the extra columns of the
            training split.
    """

    train: Rows
    samples: Samples
    rows: Mapping[Split, int]
    label: Label
    label_seen: LabelSummary
    steps: list[CleaningStep]
    write: Callable[[FeatureSet, OutOfFold | None, Path], None]


def engine(config: PreprocessStageConfig, artifacts: Artifacts) -> Engine:
    """Which engine works; says why where it was not asked for by name."""
    rules = config.preprocess
    if rules.engine != "auto":
        return rules.engine
    rows = count_rows(artifacts.raw_table)
    if rows <= rules.stream.above_rows:
        return "pandas"
    above = f"more than preprocess.stream.above_rows ({rules.stream.above_rows:,})"
    say(f"  {rows:,} rows are prepared in parts, by engine stream: {above}")
    if rows > rules.dask.above_rows:
        say(
            f"  with more than {rules.dask.above_rows:,} rows several machines would help: "
            "preprocess.engine=dask, preprocess.dask.address=tcp://HOST:PORT"
        )
    return "stream"


def prepare_in_memory(
    config: PreprocessStageConfig,
    artifacts: Artifacts,
    columns: Mapping[str, ColumnConfig],
    advance: Advance,
) -> Prepared:
    """The pandas engine: the whole table at once."""
    typed = read_typed(artifacts.raw_table, config)
    step = sample_step(len(typed.frame), config.preprocess.sample_rows)
    advance(1, "read")
    check(typed, columns, config.label.column, config.preprocess)
    advance(1, "checked")
    cleaning = clean(typed, columns, config.label.column, config.preprocess)
    labelled = make_label(cleaning.frame[LABEL], config.label)
    advance(1, "cleaned")
    splits = split(cleaning, labelled, columns, config)
    samples = {
        name: frame[frame.index % step == 0].reset_index(drop=True)
        for name, frame in splits.items()
    }
    label_seen = LabelSummary(len(labelled.label.classes))
    label_seen.add(splits["train"][LABEL].to_numpy())
    _warn_of_unseen_classes(labelled.label, label_seen)
    return Prepared(
        train=FrameRows(splits["train"], columns),
        samples=samples,
        rows={name: len(frame) for name, frame in splits.items()},
        label=labelled.label,
        label_seen=label_seen,
        steps=cleaning.steps,
        write=partial(_write_frames, splits),
    )


def prepare_in_parts(
    config: PreprocessStageConfig,
    artifacts: Artifacts,
    columns: Mapping[str, ColumnConfig],
    stack: ExitStack,
    advance: Advance,
    *,
    dask: bool = False,
) -> Prepared:
    """The stream engine, or Dask; working copies live as long as `stack`."""
    from pipeline.preprocess import stream
    from pipeline.preprocess.part_split import sample
    from pipeline.preprocess.split_files import growing_splits
    from pipeline.preprocess.workers import hired

    scratch = stack.enter_context(stream.scratch_folder(artifacts.root))
    job = planned(config, columns, artifacts, scratch)
    files = stack.enter_context(growing_splits(job))
    with hired(config.preprocess, len(job.parts), dask=dask) as workers:
        cleaned = stream.first_pass(job, workers)
        advance(2, "checked")
        label, divided = stream.second_pass(job, cleaned, workers, files)
        advance(1, "cleaned")
    _warn_of_unseen_classes(label, divided.label)
    rows = divided.shared.counts
    return Prepared(
        train=FileRows(divided.summaries, partial(files.path, "train")),
        samples={name: sample(job, name) for name in SPLITS},
        rows=rows,
        label=label,
        label_seen=divided.label,
        steps=[one.step for one in cleaned.done],
        write=files.publish,
    )


def split(
    cleaning: Cleaning,
    labelled: Labelled,
    columns: Mapping[str, ColumnConfig],
    config: PreprocessStageConfig,
) -> dict[Split, pd.DataFrame]:
    """Shares the clean rows between the splits, with the label in `LABEL`; they keep their numbers.

    Raises:
        DataError: A split gets no row.
    """
    frame = cleaning.frame
    places = assign(frame, config.split, labelled.values, _together(frame, config))
    table = pd.DataFrame(
        {name: _served(frame[name], how) for name, how in columns.items()}
        | {LABEL: labelled.values}
    )
    return {name: table[places == place] for place, name in enumerate(SPLITS)}


def _together(frame: pd.DataFrame, config: PreprocessStageConfig) -> Hashes:
    """Equal numbers for rows that a random split must not part: copies, and rows of a group."""
    if not isinstance(config.split, RandomSplit):
        return np.zeros(len(frame), np.uint64)
    return together(frame, config.group)


def _served(values: pd.Series[Any], how: ColumnConfig) -> pd.Series[Any]:
    """Truth values without a missing one become bool; all other columns are served already."""
    if isinstance(how, BooleanConfig) and not missing(values).any():
        return values.astype(np.bool_)
    return values


def _warn_of_unseen_classes(label: Label, train: LabelSummary) -> None:
    seen = dict(zip(label.classes, train.counts.tolist(), strict=True))
    unseen = [name for name, rows in seen.items() if not rows]
    if seen and len(seen) - len(unseen) == 1:
        raise DataError(
            f"the training split has one class only ({train.counts.sum():,} rows)",
            expected="training rows of at least two classes",
            remedy="move the bounds or enlarge the fractions under data.split, or stratify",
        )
    if unseen:
        named = ", ".join(unseen[:10])
        say(f"  warning: no training row of class {named}: no model will ever answer it")


def as_processed(frame: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
    """Rows as they are served, with the columns that are kept and the label."""
    served = as_served(frame, features.columns)
    return served.assign(**{name: frame[name] for name in (*features.kept, LABEL)})


def _write_frames(
    splits: Mapping[Split, pd.DataFrame],
    features: FeatureSet,
    extra: OutOfFold | None,
    folder: Path,
) -> None:
    for name, frame in splits.items():
        further = extra(frame) if extra and name == "train" else {}
        Table(folder / f"{name}.parquet").write(as_processed(frame, features).assign(**further))
