"""From the raw table to clean rows, labelled and shared between the splits: two engines."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.errors import DataError
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.preprocess.clean import Cleaning, clean, missing
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    PreprocessStageConfig,
    RandomSplit,
)
from pipeline.preprocess.label import Labelled, make_label
from pipeline.preprocess.on_disk import Rows
from pipeline.preprocess.profile_records import CleaningStep
from pipeline.preprocess.raw import count_rows, read_typed
from pipeline.preprocess.split import Places, assign, counts, same_rows, with_groups

Advance = Callable[[float, str], None]
"""Moves the progress bar on."""

Splits = Mapping[Split, Rows]


@dataclass(frozen=True)
class Prepared:
    """Clean rows, labelled and shared between the splits."""

    splits: Splits
    labelled: Labelled
    steps: list[CleaningStep]


def streams(config: PreprocessStageConfig, artifacts: Artifacts) -> bool:
    """Whether the stream engine works; says so where it was not asked for by name."""
    engine, above = config.preprocess.engine, config.preprocess.stream.above_rows
    if engine != "auto":
        return engine == "stream"
    rows = count_rows(artifacts.raw_table)
    if rows > above:
        say(f"  {rows:,} rows are prepared in parts (preprocess.stream.above_rows is {above:,})")
    return rows > above


def prepare_in_memory(
    config: PreprocessStageConfig,
    artifacts: Artifacts,
    columns: Mapping[str, ColumnConfig],
    advance: Advance,
) -> Prepared:
    """The pandas engine: the whole table at once."""
    typed = read_typed(artifacts.raw_table, config)
    advance(1, "read")
    # pandera is slow to import; the thread did it while Parquet was read.
    from pipeline.preprocess.check import check

    check(typed, columns, config.label.column, config.preprocess)
    advance(1, "checked")
    cleaning = clean(typed, columns, config.label.column, config.preprocess)
    labelled = make_label(cleaning.frame[LABEL], config.label)
    advance(1, "cleaned")
    return Prepared(split(cleaning, labelled, columns, config), labelled, cleaning.steps)


def prepare_in_parts(
    config: PreprocessStageConfig,
    artifacts: Artifacts,
    columns: Mapping[str, ColumnConfig],
    stack: ExitStack,
    advance: Advance,
) -> Prepared:
    """The stream engine; its working copies live as long as `stack`."""
    from pipeline.preprocess import stream

    scratch = stack.enter_context(stream.scratch_folder(artifacts.root))
    cleaned = stream.clean_batches(config, columns, artifacts, scratch)
    advance(2, "checked")
    labelled, places, labels = stream.label_and_places(cleaned, config)
    _warn_of_unseen_classes(labelled, places[places >= 0])
    advance(1, "cleaned")
    splits = stream.write_splits(cleaned, places, labels, columns, scratch)
    return Prepared(splits, labelled, [one.step for one in cleaned.done])


def split(
    cleaning: Cleaning,
    labelled: Labelled,
    columns: Mapping[str, ColumnConfig],
    config: PreprocessStageConfig,
) -> dict[Split, pd.DataFrame]:
    """Shares the clean rows between the splits, with the label in `LABEL`.

    Raises:
        DataError: A split gets no row.
    """
    frame = cleaning.frame
    places = assign(frame, config.split, labelled.values, _together(frame, config))
    table = pd.DataFrame(
        {name: _served(frame[name], how) for name, how in columns.items()}
        | {LABEL: labelled.values}
    )
    _warn_of_unseen_classes(labelled, places)
    return {
        name: table[places == place].reset_index(drop=True) for place, name in enumerate(SPLITS)
    }


def _together(frame: pd.DataFrame, config: PreprocessStageConfig) -> NDArray[np.int64]:
    """Equal numbers for rows a random split must not part: copies that are kept, and groups."""
    same = np.arange(len(frame))
    if isinstance(config.split, RandomSplit) and config.preprocess.duplicates == "keep":
        same = same_rows(frame)
    return same if config.group is None else with_groups(same, frame[config.group])


def _served(values: pd.Series[Any], how: ColumnConfig) -> pd.Series[Any]:
    """Truth values without a missing one become bool; all other columns are served already."""
    if isinstance(how, BooleanConfig) and not missing(values).any():
        return values.astype(np.bool_)
    return values


def _warn_of_unseen_classes(labelled: Labelled, places: Places) -> None:
    present = set(np.unique(labelled.values[places == 0])) if labelled.label.classes else set()
    unseen = [name for i, name in enumerate(labelled.label.classes) if i not in present]
    if len(present) == 1:
        raise DataError(
            f"the training split has one class only ({dict(counts(places))} rows)",
            expected="training rows of at least two classes",
            remedy="move the bounds or enlarge the fractions under data.split, or stratify",
        )
    if unseen:
        named = ", ".join(unseen[:10])
        say(f"  warning: no training row of class {named}: no model will ever answer it")
