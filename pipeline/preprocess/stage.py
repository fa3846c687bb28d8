"""The door of preprocess: check, clean, label, split, look for leaks, fit, describe, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.core.artifacts import Artifacts, Table, write_json
from pipeline.core.console import progress, say
from pipeline.core.errors import DataError
from pipeline.core.features import FeatureSet
from pipeline.core.records import LABEL, SPLITS, Split
from pipeline.core.schema import dump
from pipeline.core.stage import Context
from pipeline.core.table import as_served
from pipeline.preprocess.clean import Cleaning, clean, missing
from pipeline.preprocess.config import (
    BooleanConfig,
    ColumnConfig,
    DriftConfig,
    IdConfig,
    PreprocessStageConfig,
    RandomSplit,
)
from pipeline.preprocess.fit import fit_features
from pipeline.preprocess.label import Labelled, make_label
from pipeline.preprocess.leak import refuse_leaks
from pipeline.preprocess.on_disk import Rows, TableOnDisk
from pipeline.preprocess.profile import write_profile
from pipeline.preprocess.profile_records import CleaningStep
from pipeline.preprocess.prune import crosses_left, useless_columns
from pipeline.preprocess.raw import count_rows, feature_columns, read_typed
from pipeline.preprocess.split import Places, assign, counts, same_rows

Splits = Mapping[Split, Rows]


@dataclass(frozen=True)
class Prepared:
    """Clean rows, labelled and shared between the splits."""

    splits: Splits
    labelled: Labelled
    steps: list[CleaningStep]


def run(config: PreprocessStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Prepares data/processed and data/profile from data/raw.

    Raises:
        DataError: The table breaks its schema, leaves no row, has one class only, leaks the
            label, or leaves a split empty.
        ConfigError: A cross names no index column, or a bound of the split is no moment.
        PipelineError: The raw table is missing or damaged.
    """
    preload = Thread(target=import_module, args=("pipeline.preprocess.check",))
    preload.start()
    columns = feature_columns(config.columns, config.label)
    with ExitStack() as stack, progress("preparing rows", total=6) as advance:
        if streams(config, artifacts):
            prepared = _prepare_in_parts(config, artifacts, columns, stack, advance)
        else:
            prepared = _prepare_in_memory(config, artifacts, columns, advance)
        splits = prepared.splits
        names = [name for name, how in columns.items() if not isinstance(how, IdConfig)]
        refuse_leaks(
            splits["train"], splits["validation"], names, config.label.task, config.preprocess
        )
        advance(1, "split")
        features, steps = fit(splits, columns, prepared.labelled, config, prepared.steps)
        advance(1, "fitted")
        publish(splits, features, steps, config.preprocess.drift, artifacts)
        advance(1, "written")
    report(features, steps)
    tell(features, steps, artifacts, context)


def streams(config: PreprocessStageConfig, artifacts: Artifacts) -> bool:
    """Whether the stream engine works; says so where it was not asked for by name."""
    engine, above = config.preprocess.engine, config.preprocess.stream.above_rows
    if engine != "auto":
        return engine == "stream"
    rows = count_rows(artifacts.raw_table)
    if rows > above:
        say(f"  {rows:,} rows are prepared in parts (preprocess.stream.above_rows is {above:,})")
    return rows > above


def _prepare_in_memory(
    config: PreprocessStageConfig,
    artifacts: Artifacts,
    columns: Mapping[str, ColumnConfig],
    advance: Callable[[float, str], None],
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


def _prepare_in_parts(
    config: PreprocessStageConfig,
    artifacts: Artifacts,
    columns: Mapping[str, ColumnConfig],
    stack: ExitStack,
    advance: Callable[[float, str], None],
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


def fit(
    splits: Splits,
    columns: Mapping[str, ColumnConfig],
    labelled: Labelled,
    config: PreprocessStageConfig,
    steps: list[CleaningStep],
) -> tuple[FeatureSet, list[CleaningStep]]:
    """Drops useless columns, with a warning each, and fits the others on the training split.

    Raises:
        DataError: No column is left.
        ConfigError: A cross names no index column.
    """
    train = splits["train"]
    useless = useless_columns(train, columns, config.preprocess)
    crosses, lost = crosses_left(config.crosses, useless)
    rows = {name: len(frame) for name, frame in splits.items()}
    for name, reason in {**useless, **lost}.items():
        say(f"  warning: '{name}' is left out: {reason}")
        note = f"left out '{name}': {reason}"
        steps = [*steps, CleaningStep(rule="useless_column", rows=sum(rows.values()), note=note)]
    features = fit_features(
        train,
        columns={name: how for name, how in columns.items() if name not in useless},
        crosses=crosses,
        label=labelled.label,
        kept=[name for name, how in columns.items() if isinstance(how, IdConfig)],
        rows=rows,
    )
    return features, steps


def publish(
    splits: Splits,
    features: FeatureSet,
    steps: list[CleaningStep],
    drift: DriftConfig,
    artifacts: Artifacts,
) -> None:
    """Writes data/processed and data/profile; neither appears unless both are whole."""
    with artifacts.processed.publish() as processed, artifacts.profile.publish() as profile:
        write_json(processed / artifacts.features.path.name, dump(features))
        write_json(profile / "cleaning.json", {"steps": [dump(step) for step in steps]})
        # Compressing leaves the interpreter free, so that the profile is drawn meanwhile.
        with ThreadPoolExecutor(1) as pool:
            served, writing = _write_splits(splits, features, processed, pool)
            write_profile(profile, served, features, steps, drift)
            writing.result()


def _write_splits(
    splits: Splits, features: FeatureSet, folder: Path, pool: ThreadPoolExecutor
) -> tuple[Splits, Future[None]]:
    """The served tables, and when they are written."""
    on_disk = {name: one for name, one in splits.items() if isinstance(one, TableOnDisk)}
    if on_disk:
        from pipeline.preprocess.stream import write_processed

        written = write_processed(on_disk, features, folder)
        return written, pool.submit(lambda: None)
    frames = {name: one for name, one in splits.items() if isinstance(one, pd.DataFrame)}
    served = {name: _processed(frame, features) for name, frame in frames.items()}

    def write() -> None:
        for name, frame in served.items():
            Table(folder / f"{name}.parquet").write(frame)

    return served, pool.submit(write)


def report(features: FeatureSet, steps: list[CleaningStep]) -> None:
    """Says what the rules did and what came out."""
    for step in steps:
        if step.rows and step.rule != "useless_column":
            say(f"  {step.rule}: {step.rows:,} rows; {step.note}")
    rows = ", ".join(f"{name} {count:,}" for name, count in features.rows.items())
    width = f"{len(features.dense_names)} dense, {len(features.index_columns)} index"
    say(f"  {rows} rows; {len(features.columns)} columns make {width} features")


def tell(
    features: FeatureSet, steps: list[CleaningStep], artifacts: Artifacts, context: Context
) -> None:
    """Tells the run's journal."""
    context.journal.metrics({f"rows_{name}": float(count) for name, count in features.rows.items()})
    context.journal.metrics({f"cleaned_{step.rule}": float(step.rows) for step in steps})
    for name in ("profile.html", "profile.json", "cleaning.json"):
        context.journal.artifact(artifacts.profile.path / name, "profile")
    context.journal.artifact(artifacts.features.path)


def _together(frame: pd.DataFrame, config: PreprocessStageConfig) -> NDArray[np.int64]:
    """Equal numbers for rows a random split must not part: copies, where they are kept."""
    if isinstance(config.split, RandomSplit) and config.preprocess.duplicates == "keep":
        return same_rows(frame)
    return np.arange(len(frame))


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


def _processed(frame: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
    served = as_served(frame, features.columns)
    return served.assign(**{name: frame[name] for name in (*features.kept, LABEL)})
